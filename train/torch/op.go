//go:build !lite

package torch

import (
	"slices"

	"graft/graph"
)

// lowering computes the outputs of a node. It may return fewer values than the node has outputs where nothing reads the
// others.
type lowering func(c *call) []value

// opRow says how an operator runs from version Since of its operator set on.
type opRow struct {
	Domain, Op string
	Since      int64
	Run        lowering
}

// opTables lists the operators that run here, a file for each kind. What is left out: Loop and Scan, whose gradients would
// need their history; random numbers other than dropout's; convolutions and what else only images and sounds need;
// quantized arithmetic, which has no gradient; operators of com.microsoft, which pass.Raise turns into others.
var opTables = [][]opRow{
	mathRows, compareRows, activationRows, shapeRows, makeRows, indexRows, reduceRows, matmulRows, normRows, attentionRows,
	controlRows,
}

// opIndex finds the rows of an operator.
var opIndex = func() map[[2]string][]*opRow {
	index := map[[2]string][]*opRow{}
	for _, table := range opTables {
		for i := range table {
			row := &table[i]
			key := [2]string{row.Domain, row.Op}
			index[key] = append(index[key], row)
		}
	}
	return index
}()

// findLowering is the newest row of n's operator that holds in opset; nil where there is none.
func findLowering(n *graph.Node, opset int64) *opRow {
	domain := n.Domain
	if domain == "ai.onnx" {
		domain = ""
	}
	var found *opRow
	for _, row := range opIndex[[2]string{domain, n.Op}] {
		if row.Since <= opset && (found == nil || row.Since > found.Since) {
			found = row
		}
	}
	return found
}

// one makes a lowering of a function with one result.
func one(f func(c *call) *Tensor) lowering {
	return func(c *call) []value { return device(f(c)) }
}

// unary makes a lowering of an operation of Scope on input 0.
func unary(f func(s *Scope, x *Tensor) *Tensor) lowering {
	return one(func(c *call) *Tensor { return f(c.Scope, c.tensor(0)) })
}

// binary makes a lowering of an operation of Scope on inputs 0 and 1.
func binary(f func(s *Scope, a, b *Tensor) *Tensor) lowering {
	return one(func(c *call) *Tensor { return f(c.Scope, c.tensor(0), c.tensor(1)) })
}

// variadic makes a lowering that folds all inputs from left to right.
func variadic(f func(s *Scope, a, b *Tensor) *Tensor) lowering {
	return one(func(c *call) *Tensor { return c.fold(f) })
}

func (c *call) fold(f func(s *Scope, a, b *Tensor) *Tensor) *Tensor {
	acc := c.alias(c.tensor(0))
	for i := 1; i < len(c.step.in); i++ {
		next := f(c.Scope, acc, c.tensor(i))
		c.Release(acc)
		acc = next
	}
	return acc
}

// then frees the tensor in between: f(x).
func (c *call) then(x *Tensor, f func(x *Tensor) *Tensor) *Tensor {
	if x == nil {
		return nil
	}
	y := f(x)
	c.Release(x)
	return y
}

// Ops lists the operators of ONNX that run here.
func Ops() []string {
	var list []string
	for _, table := range opTables {
		for _, row := range table {
			if row.Domain == "" && !slices.Contains(list, row.Op) {
				list = append(list, row.Op)
			}
		}
	}
	return list
}
