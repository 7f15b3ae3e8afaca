// Package prune makes encoders smaller by surgery on their graphs.
//
// Layers: New scores the transformer blocks by a criterion (criterion.go: the table; one file each)
// and plans which of them go; Plan.Apply takes them out of the graph (layers.go). What is measured
// comes through Activations, which runs the graph on texts: the package itself runs nothing.
//
// Width: NewWidth scores attention heads and neurons (width.go) by a criterion (widthcriterion.go: the table; one
// file each), found by going back from the last product of each (trace.go), and Width.Apply narrows all weights on the
// way (narrow.go).
//
// Graphs must be in the IR's form, as convert builds them or as pass.Raise leaves them.
package prune
