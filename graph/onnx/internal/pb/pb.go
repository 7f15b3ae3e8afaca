// Package pb is ONNX's protobuf schema in Go, generated from onnx-ml.proto of ONNX 1.20.1
// (Apache License 2.0, see LICENSE) under the proto package graft.onnx.
//
// To generate again: pip install grpcio-tools==1.85.1, go install
// google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12, then go generate.
package pb

//go:generate python3 -m grpc_tools.protoc -I../../../.. --go_out=../../../.. --go_opt=module=graft --go_opt=Mgraph/onnx/internal/pb/onnx-ml.proto=graft/graph/onnx/internal/pb graph/onnx/internal/pb/onnx-ml.proto
