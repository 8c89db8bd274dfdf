// Does a client's task against a daemon (client-report.ts) and reports the answers as JSON.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	pb "countersign.dev/gen/go/countersign/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const deadline = 20 * time.Second

type task struct {
	Target        string `json:"target"`
	APIKey        string `json:"api_key"`
	UserID        string `json:"user_id"`
	Text          string `json:"text"`
	TypedDataJSON string `json:"typed_data_json"`
	Transaction   struct {
		ChainID              uint64 `json:"chain_id"`
		Nonce                uint64 `json:"nonce"`
		GasLimit             uint64 `json:"gas_limit"`
		MaxFeePerGas         string `json:"max_fee_per_gas"`
		MaxPriorityFeePerGas string `json:"max_priority_fee_per_gas"`
		To                   string `json:"to"`
		Value                string `json:"value"`
	} `json:"transaction"`
}

type walletReport struct {
	WalletID  string `json:"wallet_id"`
	Address   string `json:"address"`
	PublicKey string `json:"public_key"`
}

type refusal struct {
	Code     string            `json:"code"`
	Domain   string            `json:"domain"`
	Reason   string            `json:"reason"`
	Metadata map[string]string `json:"metadata"`
}

type report struct {
	Wallet             walletReport      `json:"wallet"`
	Found              map[string]string `json:"found"`
	MessageSignature   string            `json:"message_signature"`
	TypedDataSignature string            `json:"typed_data_signature"`
	SignedTransaction  string            `json:"signed_transaction"`
	TransactionHash    string            `json:"transaction_hash"`
	Refusal            refusal           `json:"refusal"`
}

func references(wallet *pb.Wallet, userID string) map[string]string {
	return map[string]string{
		"wallet_id":     wallet.WalletId,
		"address":       wallet.Address,
		"address_lower": strings.ToLower(wallet.Address),
		"address_upper": "0x" + strings.ToUpper(wallet.Address[2:]),
		"user_id":       userID,
	}
}

func find(ctx context.Context, client pb.WalletServiceClient, wallet *pb.Wallet, userID string) (map[string]string, error) {
	found := map[string]string{}
	for name, reference := range references(wallet, userID) {
		answer, err := client.GetWallet(ctx, &pb.GetWalletRequest{Wallet: reference})
		if err != nil {
			return nil, fmt.Errorf("find by %s: %w", name, err)
		}
		found[name] = answer.Wallet.WalletId
	}
	return found, nil
}

func transactionOf(t task) *pb.SignTransactionRequest_Evm {
	return &pb.SignTransactionRequest_Evm{Evm: &pb.EvmTransaction{
		Type:                 pb.EvmTransactionType_EVM_TRANSACTION_TYPE_DYNAMIC_FEE,
		ChainId:              t.Transaction.ChainID,
		Nonce:                t.Transaction.Nonce,
		GasLimit:             t.Transaction.GasLimit,
		MaxFeePerGas:         t.Transaction.MaxFeePerGas,
		MaxPriorityFeePerGas: t.Transaction.MaxPriorityFeePerGas,
		To:                   t.Transaction.To,
		Value:                t.Transaction.Value,
	}}
}

// refusalOf reads google.rpc.ErrorInfo out of the status's details.
func refusalOf(err error) (refusal, error) {
	answer, isStatus := status.FromError(err)
	if !isStatus {
		return refusal{}, err
	}
	for _, detail := range answer.Details() {
		if info, isInfo := detail.(*errdetails.ErrorInfo); isInfo {
			return refusal{answer.Code().String(), info.Domain, info.Reason, info.Metadata}, nil
		}
	}
	return refusal{}, fmt.Errorf("the status holds no ErrorInfo: %w", err)
}

func refuseSecond(ctx context.Context, client pb.WalletServiceClient, create *pb.CreateWalletRequest) (refusal, error) {
	if _, err := client.CreateWallet(ctx, create); err != nil {
		return refusalOf(err)
	}
	return refusal{}, errors.New("a second wallet for the same user was created")
}

func run(t task) (report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+t.APIKey)
	connection, err := grpc.DialContext(ctx, t.Target, grpc.WithInsecure())
	if err != nil {
		return report{}, err
	}
	defer connection.Close()
	client := pb.NewWalletServiceClient(connection)

	create := &pb.CreateWalletRequest{
		UserId:    t.UserID,
		KeyType:   pb.KeyType_KEY_TYPE_SECP256K1,
		OwnerType: pb.OwnerType_OWNER_TYPE_PROJECT,
	}
	created, err := client.CreateWallet(ctx, create)
	if err != nil {
		return report{}, fmt.Errorf("create: %w", err)
	}
	wallet := created.Wallet
	found, err := find(ctx, client, wallet, t.UserID)
	if err != nil {
		return report{}, err
	}
	message, err := client.SignMessage(ctx, &pb.SignMessageRequest{
		Wallet:  wallet.WalletId,
		Content: &pb.SignMessageRequest_Text{Text: t.Text},
	})
	if err != nil {
		return report{}, fmt.Errorf("sign message: %w", err)
	}
	typedData, err := client.SignTypedData(ctx, &pb.SignTypedDataRequest{
		Wallet:        wallet.Address,
		TypedDataJson: t.TypedDataJSON,
	})
	if err != nil {
		return report{}, fmt.Errorf("sign typed data: %w", err)
	}
	signed, err := client.SignTransaction(ctx, &pb.SignTransactionRequest{
		Wallet:      t.UserID,
		Transaction: transactionOf(t),
	})
	if err != nil {
		return report{}, fmt.Errorf("sign transaction: %w", err)
	}
	refused, err := refuseSecond(ctx, client, create)
	if err != nil {
		return report{}, err
	}
	return report{
		Wallet:             walletReport{wallet.WalletId, wallet.Address, wallet.PublicKey},
		Found:              found,
		MessageSignature:   "0x" + hex.EncodeToString(message.Signature.Raw),
		TypedDataSignature: typedData.Signature.Hex,
		SignedTransaction:  "0x" + hex.EncodeToString(signed.SignedTransaction),
		TransactionHash:    signed.TransactionHash,
		Refusal:            refused,
	}, nil
}

func main() {
	var t task
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	answers, err := run(t)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
