"""Does a client's task against a daemon (client-report.ts) and reports the answers as JSON."""

import json
import sys

import grpc
from google.rpc import error_details_pb2, status_pb2

from countersign.v1 import common_pb2, wallet_pb2, wallet_pb2_grpc

DEADLINE_SECONDS = 20


def references(wallet, user_id):
    address = wallet.address
    return {
        "wallet_id": wallet.wallet_id,
        "address": address,
        "address_lower": address.lower(),
        "address_upper": "0x" + address[2:].upper(),
        "user_id": user_id,
    }


def transaction_of(fields):
    return wallet_pb2.EvmTransaction(
        type=wallet_pb2.EVM_TRANSACTION_TYPE_DYNAMIC_FEE,
        chain_id=fields["chain_id"],
        nonce=fields["nonce"],
        gas_limit=fields["gas_limit"],
        max_fee_per_gas=fields["max_fee_per_gas"],
        max_priority_fee_per_gas=fields["max_priority_fee_per_gas"],
        to=fields["to"],
        value=fields["value"],
    )


def refusal_of(error):
    """Reads google.rpc.ErrorInfo out of grpc-status-details-bin."""
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    if not any(detail.Unpack(info) for detail in status.details):
        raise RuntimeError("the status holds no ErrorInfo")
    return {
        "code": error.code().name,
        "domain": info.domain,
        "reason": info.reason,
        "metadata": dict(info.metadata),
    }


def run(task):
    call = {"metadata": (("authorization", "Bearer " + task["api_key"]),), "timeout": DEADLINE_SECONDS}
    with grpc.insecure_channel(task["target"]) as channel:
        stub = wallet_pb2_grpc.WalletServiceStub(channel)
        create = wallet_pb2.CreateWalletRequest(
            user_id=task["user_id"],
            key_type=common_pb2.KEY_TYPE_SECP256K1,
            owner_type=wallet_pb2.OWNER_TYPE_PROJECT,
        )
        wallet = stub.CreateWallet(create, **call).wallet
        found = {
            name: stub.GetWallet(wallet_pb2.GetWalletRequest(wallet=reference), **call).wallet.wallet_id
            for name, reference in references(wallet, task["user_id"]).items()
        }
        message = stub.SignMessage(
            wallet_pb2.SignMessageRequest(wallet=wallet.wallet_id, text=task["text"]), **call
        )
        typed_data = stub.SignTypedData(
            wallet_pb2.SignTypedDataRequest(wallet=wallet.address, typed_data_json=task["typed_data_json"]), **call
        )
        signed = stub.SignTransaction(
            wallet_pb2.SignTransactionRequest(wallet=task["user_id"], evm=transaction_of(task["transaction"])), **call
        )
        try:
            stub.CreateWallet(create, **call)
            raise RuntimeError("a second wallet for the same user was created")
        except grpc.RpcError as error:
            refusal = refusal_of(error)
    return {
        "wallet": {"wallet_id": wallet.wallet_id, "address": wallet.address, "public_key": wallet.public_key},
        "found": found,
        "message_signature": "0x" + message.signature.raw.hex(),
        "typed_data_signature": typed_data.signature.hex,
        "signed_transaction": "0x" + signed.signed_transaction.hex(),
        "transaction_hash": signed.transaction_hash,
        "refusal": refusal,
    }


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
