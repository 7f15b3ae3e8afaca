package lines

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Unmarshal is json.Unmarshal with errors that speak of the text, not of the Go type that it is read into.
func Unmarshal(text []byte, v any) error {
	err := json.Unmarshal(text, v)
	var kind *json.UnmarshalTypeError
	if !errors.As(err, &kind) {
		return err
	}
	have, ok := jsonKinds[kind.Value]
	if !ok {
		have = strings.TrimPrefix(kind.Value, "number ") // the number itself
	}
	want, ok := goKinds[kind.Type.Kind()]
	if !ok {
		want = "a whole number"
	}
	if kind.Field == "" {
		return fmt.Errorf("have %s, want %s", have, want)
	}
	return fmt.Errorf("field %q: have %s, want %s", kind.Field, have, want)
}

// jsonKinds name the kinds of JSON values, by encoding/json's names.
var jsonKinds = map[string]string{
	"object": "an object", "array": "a list", "string": "a text", "number": "a number", "bool": "true or false",
}

// goKinds are the same for what JSON is read into; whole numbers are the others.
var goKinds = map[reflect.Kind]string{
	reflect.Struct: "an object", reflect.Map: "an object", reflect.Slice: "a list", reflect.Array: "a list", reflect.String: "a text",
	reflect.Float32: "a number", reflect.Float64: "a number", reflect.Bool: "true or false",
}
