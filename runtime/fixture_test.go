package runtime

import (
	"context"
	"path/filepath"
	"testing"

	"graft/convert"
	"graft/runtime/tokenizer"
)

// fixture opens a tiny checkpoint of testdata/models as a Model.
func fixture(t testing.TB, name string) Model {
	t.Helper()
	requireORT(t)
	m, err := convert.Open(filepath.Join("..", "testdata", "models", name), convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	tok, err := tokenizer.FromFile(m.Tokenizer, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tok.Close() })
	return Model{Graph: m.Graph, Tokenizer: tok, MaxLength: m.Modules.MaxLength}
}

// opened is an Encoder of a fixture on the CPU provider.
func opened(t testing.TB, name string, o Options) *Encoder {
	t.Helper()
	o.Provider = "cpu"
	e, err := Open(context.Background(), fixture(t, name), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func encoded(t testing.TB, e *Encoder, texts []string, o EncodeOptions) *Vectors {
	t.Helper()
	v, err := e.Encode(context.Background(), texts, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
