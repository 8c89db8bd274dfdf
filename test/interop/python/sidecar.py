"""The server of a delegate: has its sidecar take in what was delegated, and signs with it. Task in, report out, as JSON."""

import json
import sys

import grpc
from google.rpc import error_details_pb2, status_pb2

from countersign.v1 import delegate_side_pb2, delegation_pb2_grpc

DEADLINE_SECONDS = 20


def reason_of(error):
    """Reads google.rpc.ErrorInfo out of grpc-status-details-bin."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    if not any(detail.Unpack(info) for detail in status.details):
        raise RuntimeError("the status holds no ErrorInfo")
    return {"reason": info.reason, "refusal": info.metadata.get("refusal", "")}


def run(task):
    call = {"metadata": (("authorization", "Bearer " + task["api_key"]),), "timeout": DEADLINE_SECONDS}
    with grpc.insecure_channel(task["target"]) as channel:
        stub = delegation_pb2_grpc.DelegationServiceStub(channel)
        taken = stub.ImportDelegatedAccess(
            delegate_side_pb2.ImportDelegatedAccessRequest(webhook_body=task["webhook_body"].encode()), **call
        ).access
        message = stub.DelegatedSignMessage(
            delegate_side_pb2.DelegatedSignMessageRequest(access=taken.access_id, text=task["text"]), **call
        )
        typed_data = stub.DelegatedSignTypedData(
            delegate_side_pb2.DelegatedSignTypedDataRequest(
                access=taken.address, typed_data_json=task["typed_data_json"]
            ),
            **call,
        )
        signature = message.signature
        try:
            stub.DelegatedSignMessage(
                delegate_side_pb2.DelegatedSignMessageRequest(
                    access=taken.access_id, data=message.digest, is_formatted=True
                ),
                **call,
            )
            raise RuntimeError("a digest was signed")
        except grpc.RpcError as error:
            refusal = reason_of(error)
    return {
        "address": taken.address,
        "message_signature": "0x" + signature.r.hex() + signature.s.hex() + format(signature.v, "02x"),
        "message_hex": signature.hex,
        "typed_data_signature": typed_data.signature.hex,
        "digest_refusal": refusal,
    }


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
