package graph

import "fmt"

// castOps change the element type.
var castOps = []Op{
	{Name: "Cast", Since: 1, In: one, Out: one, Infer: inferCast, Fold: foldCast},
	{Name: "CastLike", Since: 15, In: exactly(2), Out: one, Infer: inferCastLike, Fold: foldCastLike},
}

func inferCast(f *Inference) error {
	to := DType(f.Node.Int("to", 0))
	if to == Undefined {
		return fmt.Errorf("attribute \"to\" is missing or names no element type")
	}
	f.castElements(to)
	f.Set(0, to, f.Shape(0))
	return nil
}

func inferCastLike(f *Inference) error {
	f.castElements(f.Elem(1))
	f.Set(0, f.Elem(1), f.Shape(0))
	return nil
}

// castElements follows elements through a cast that keeps integers as they are.
func (f *Inference) castElements(to DType) {
	switch to {
	case Int64, Int32:
		f.setElements(0, f.elements(0))
	case Bool:
		f.mapElements(func(e expr) expr { return exprNot(exprEqual(e, constant(0))) })
	}
}
