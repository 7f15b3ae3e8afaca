// Package quantize stores the weights of an encoder in fewer bits, and has its products computed on
// integers, by surgery on its graph.
//
// New lowers a copy of the graph for a target, finds the products with a weight (matrix.go) and the
// tables of embeddings (table.go), and settles by a scheme (scheme.go: the table; one file each)
// what becomes of them; Plan.Apply writes that into the graph. What is measured comes through
// Activations and Vectors: the package itself runs nothing.
package quantize
