package onnx

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// Decoding takes the fields that the IR models out of a message; what remains is the Extra of
// the IR's object. Encoding begins with that remainder and sets the fields again. So unknown
// fields, fields that are not modelled, and the presence of empty fields survive.

// take returns an optional field and removes it from its message. A field that is present but
// zero stays, so that it will be written again.
func take[T comparable](field **T) T {
	var zero T
	if *field == nil || **field == zero {
		return zero
	}
	v := **field
	*field = nil
	return v
}

// set writes an optional field where it is not zero.
func set[T comparable](field **T, v T) {
	var zero T
	if v != zero {
		*field = &v
	}
}

// remainder is m's wire form, nil where nothing is left in it.
func remainder(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil || len(b) == 0 { // no error is possible: m was read, and proto2 without required fields
		return nil
	}
	return b
}

// restore reads an object's Extra into m.
func restore(extra []byte, m proto.Message) error {
	if len(extra) == 0 {
		return nil
	}
	if err := unmarshal.Unmarshal(extra, m); err != nil {
		return fmt.Errorf("extra fields: %w", err)
	}
	return nil
}

// takeProperties removes metadata from a message; entries stay where they hold unknown fields.
func takeProperties(field *[]*pb.StringStringEntryProto) []graph.Property {
	var list []graph.Property
	var keep []*pb.StringStringEntryProto
	for _, e := range *field {
		list = append(list, graph.Property{Key: e.GetKey(), Value: e.GetValue()})
		if unknown := e.ProtoReflect().GetUnknown(); len(unknown) > 0 {
			e.Key, e.Value = proto.String(e.GetKey()), nil
			keep = append(keep, e)
		}
	}
	*field = keep
	return list
}

// setProperties writes metadata, with the unknown fields of the entries that stayed.
func setProperties(field *[]*pb.StringStringEntryProto, list []graph.Property) {
	kept := *field
	*field = nil
	for _, p := range list {
		e := &pb.StringStringEntryProto{Key: proto.String(p.Key), Value: proto.String(p.Value)}
		for i, k := range kept {
			if k.GetKey() == p.Key {
				e.ProtoReflect().SetUnknown(k.ProtoReflect().GetUnknown())
				kept = append(kept[:i:i], kept[i+1:]...)
				break
			}
		}
		*field = append(*field, e)
	}
}

// takeOpsets and setOpsets do the same with operator set imports.
func takeOpsets(field *[]*pb.OperatorSetIdProto) []graph.Opset {
	var list []graph.Opset
	var keep []*pb.OperatorSetIdProto
	for _, o := range *field {
		list = append(list, graph.Opset{Domain: o.GetDomain(), Version: o.GetVersion()})
		if unknown := o.ProtoReflect().GetUnknown(); len(unknown) > 0 {
			o.Domain, o.Version = proto.String(o.GetDomain()), nil
			keep = append(keep, o)
		}
	}
	*field = keep
	return list
}

func setOpsets(field *[]*pb.OperatorSetIdProto, list []graph.Opset) {
	kept := *field
	*field = nil
	for _, o := range list {
		e := &pb.OperatorSetIdProto{Domain: proto.String(o.Domain), Version: proto.Int64(o.Version)}
		for i, k := range kept {
			if k.GetDomain() == o.Domain {
				e.ProtoReflect().SetUnknown(k.ProtoReflect().GetUnknown())
				kept = append(kept[:i:i], kept[i+1:]...)
				break
			}
		}
		*field = append(*field, e)
	}
}
