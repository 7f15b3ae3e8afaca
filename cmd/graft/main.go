// Command graft trains text-embedding models, exports them as ONNX graphs,
// makes them smaller by surgery on the graph and evaluates every variant.
package main

func main() {}
