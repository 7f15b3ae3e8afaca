package tokenizer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testdata = filepath.Join("..", "..", "testdata", "tokenizers")

// tiny are the tokenizers that are stored with the tests.
var tiny = []string{"bert", "distilbert", "ernie", "llama", "modernbert", "qwen2", "qwen3", "roberta", "xlm-roberta"}

// real are the tokenizers of published models, by the name of their fixture.
var real = []string{"minilm", "qwen3", "llama2"}

func readJSON(t testing.TB, v any, elem ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{testdata}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func openTiny(t testing.TB, name string, o Options) *Tokenizer {
	t.Helper()
	tok, err := Open(filepath.Join(testdata, name), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tok.Close() })
	return tok
}

// openReal opens a published tokenizer out of the folders of downloaded models.
func openReal(t testing.TB, name string, o Options) *Tokenizer {
	t.Helper()
	var want struct{ SHA256 string }
	readJSON(t, &want, name+".json")
	models := []string{os.Getenv("GRAFT_MODELS"), filepath.Join(os.Getenv("GRAFT_NATIVE"), "models")}
	for _, dir := range models {
		for _, path := range []string{filepath.Join(dir, "tokenizers", name), filepath.Join(dir, name)} {
			data, err := os.ReadFile(filepath.Join(path, fileTokenizer))
			if err != nil || fmt.Sprintf("%x", sha256.Sum256(data)) != want.SHA256 {
				continue
			}
			tok, err := Open(path, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { tok.Close() })
			return tok
		}
	}
	if os.Getenv("CI") == "true" && (golden || name == "minilm") {
		t.Fatalf("missing: tokenizer.json of %s under $GRAFT_MODELS/tokenizers (make golden fetches it)", name)
	}
	t.Skipf("missing: tokenizer.json of %s under $GRAFT_MODELS/tokenizers (make golden fetches it)", name)
	return nil
}

func TestTiny(t *testing.T) {
	for _, name := range tiny {
		t.Run(name, func(t *testing.T) {
			tok := openTiny(t, name, Options{})
			var want struct {
				MaxLength int `json:"max_length"`
				Texts     []string
				IDs       [][]int32 `json:"input_ids"`
				Pair      struct {
					A, B  string
					IDs   []int32 `json:"input_ids"`
					Types []int32 `json:"token_type_ids"`
				}
			}
			readJSON(t, &want, name, "tok_expected.json")
			got, err := tok.EncodeBatch(context.Background(), want.Texts, EncodeOptions{MaxLength: want.MaxLength})
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range got {
				if d := cmp.Diff(want.IDs[i], e.IDs); d != "" {
					t.Errorf("%q: %s", want.Texts[i], d)
				}
			}
			pair, err := tok.EncodePair(want.Pair.A, want.Pair.B, EncodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.Pair.IDs, pair.IDs); d != "" {
				t.Errorf("pair: %s", d)
			}
			if d := cmp.Diff(want.Pair.Types, pair.TypeIDs); d != "" {
				t.Errorf("pair types: %s", d)
			}
		})
	}
}

// fixture is the form of minilm.json, qwen3.json and llama2.json.
type fixture struct {
	VocabSize    int `json:"vocab_size"`
	IDs          [][]int32
	IDsNoSpecial [][]int32 `json:"ids_no_special"`
	Truncate     struct {
		MaxLength int `json:"max_length"`
		IDs       [][]int32
	} `json:"truncate16"`
	TruncateLeft struct {
		Index []int
		IDs   [][]int32
	} `json:"truncate16_left"`
	Pairs []struct {
		MaxLength int `json:"max_length"`
		IDs       [][]int32
		TypeIDs   [][]int32 `json:"type_ids"`
	}
}

type texts struct {
	Texts []string
	Pairs [][2]string
}

func TestReal(t *testing.T) {
	var in texts
	readJSON(t, &in, "texts.json")
	for _, name := range real {
		t.Run(name, func(t *testing.T) {
			var want fixture
			readJSON(t, &want, name+".json")
			tok := openReal(t, name, Options{})
			if tok.VocabSize() != want.VocabSize || int(tok.MaxID()) != want.VocabSize-1 {
				t.Errorf("vocabulary %d, largest id %d, want %d tokens", tok.VocabSize(), tok.MaxID(), want.VocabSize)
			}
			if want.IDsNoSpecial == nil {
				want.IDsNoSpecial = want.IDs
			}
			compare(t, tok, in.Texts, EncodeOptions{}, want.IDs)
			compare(t, tok, in.Texts, EncodeOptions{NoSpecial: true}, want.IDsNoSpecial)
			compare(t, tok, in.Texts, EncodeOptions{MaxLength: want.Truncate.MaxLength}, want.Truncate.IDs)
			left := openReal(t, name, Options{TruncationSide: Left})
			var cut []string
			for _, i := range want.TruncateLeft.Index {
				cut = append(cut, in.Texts[i])
			}
			compare(t, left, cut, EncodeOptions{MaxLength: want.Truncate.MaxLength}, want.TruncateLeft.IDs)
			for _, p := range want.Pairs {
				got, err := tok.EncodePairs(context.Background(), in.Pairs, EncodeOptions{MaxLength: p.MaxLength})
				if err != nil {
					t.Fatal(err)
				}
				for i, e := range got {
					if d := cmp.Diff(p.IDs[i], e.IDs); d != "" {
						t.Errorf("pair %q to %d: %s", in.Pairs[i], p.MaxLength, d)
					}
					if d := cmp.Diff(p.TypeIDs[i], e.TypeIDs); d != "" {
						t.Errorf("pair %q to %d, types: %s", in.Pairs[i], p.MaxLength, d)
					}
				}
			}
		})
	}
}

func compare(t *testing.T, tok *Tokenizer, in []string, o EncodeOptions, want [][]int32) {
	t.Helper()
	got, err := tok.EncodeBatch(context.Background(), in, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range got {
		if len(e.IDs) == 0 && len(want[i]) == 0 {
			continue
		}
		if d := cmp.Diff(want[i], e.IDs); d != "" {
			t.Errorf("%q %+v: %s", in[i], o, d)
		}
	}
}

// edge is the form of edge.json.
type edge struct {
	Texts    []string
	Expected map[string]struct {
		IDs   [][]int32
		Pairs [][8]json.RawMessage
		Big   map[string]struct {
			Tokens int
			SHA256 string
		}
	}
}

func openEdge(t *testing.T, name string, o Options) *Tokenizer {
	t.Helper()
	if name == "minilm" {
		return openReal(t, name, o)
	}
	if published, ok := strings.CutSuffix(name, "-real"); ok {
		return openReal(t, published, o)
	}
	return openTiny(t, name, o)
}

// TestEdgeTexts has NUL bytes and invalid UTF-8.
func TestEdgeTexts(t *testing.T) {
	var want edge
	readJSON(t, &want, "edge.json")
	for name, w := range want.Expected {
		t.Run(name, func(t *testing.T) {
			tok := openEdge(t, name, Options{})
			for i, encoded := range want.Texts {
				text, err := base64.StdEncoding.DecodeString(encoded)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, tok, []string{string(text)}, EncodeOptions{}, w.IDs[i:i+1])
			}
		})
	}
}

func TestPairTruncation(t *testing.T) {
	var want edge
	readJSON(t, &want, "edge.json")
	for name, w := range want.Expected {
		if len(w.Pairs) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			sides := map[Side]*Tokenizer{
				Right: openEdge(t, name, Options{TruncationSide: Right}),
				Left:  openEdge(t, name, Options{TruncationSide: Left}),
			}
			for _, raw := range w.Pairs {
				var first, second string
				var side Side
				var o EncodeOptions
				var want Encoding
				for i, v := range []any{&first, &second, &o.Strategy, &side, &o.MaxLength, &want.IDs, &want.TypeIDs, &want.Special} {
					if err := json.Unmarshal(raw[i], v); err != nil {
						t.Fatal(err)
					}
				}
				got, err := sides[side].EncodePair(first, second, o)
				if want.IDs == nil {
					if err == nil {
						t.Errorf("%q %q %s %+v: got %v, want an error", first, second, side, o, got.IDs)
					}
					continue
				}
				if d := cmp.Diff(want, got); d != "" || err != nil {
					t.Errorf("%q %q %s %+v: %v %s", first, second, side, o, err, d)
				}
			}
		})
	}
}

// TestLongWords encodes words of 10 MB.
func TestLongWords(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	var want edge
	readJSON(t, &want, "edge.json")
	word := strings.Repeat("a", 10_000_000)
	for _, name := range []string{"minilm", "llama2-real"} {
		t.Run(name, func(t *testing.T) {
			tok := openEdge(t, name, Options{})
			e, err := tok.Encode(word, EncodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			hash := sha256.New()
			binary.Write(hash, binary.LittleEndian, e.IDs)
			w := want.Expected[name].Big["a"]
			if len(e.IDs) != w.Tokens || hex.EncodeToString(hash.Sum(nil)) != w.SHA256 {
				t.Errorf("%d tokens, want %d; or other ids", len(e.IDs), w.Tokens)
			}
		})
	}
}

// TestCutEqualsWhole checks on real texts that cutting before tokenizing
// changes nothing, for every tokenizer that is cut.
func TestCutEqualsWhole(t *testing.T) {
	long := longTexts()
	for _, name := range append([]string{"minilm", "qwen3-real", "llama2-real"}, tiny...) {
		t.Run(name, func(t *testing.T) {
			tok := openEdge(t, name, Options{})
			if name == "modernbert" || name == "roberta" || strings.HasSuffix(name, "-real") || name == "minilm" {
				if !tok.cut {
					t.Fatal("long texts are not cut first")
				}
			}
			for _, text := range long {
				whole, err := tok.allTokens(text)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range []int{1, 7, 64, 300} {
					got, err := tok.tokens(text, n)
					if err != nil {
						t.Fatal(err)
					}
					m := min(n, len(whole))
					if d := cmp.Diff(whole[:m], got[:m]); d != "" {
						t.Fatalf("first %d tokens: %s", n, d)
					}
				}
			}
		})
	}
}

// longTexts are this package's sources and the fixtures' texts, in several
// arrangements.
func longTexts() []string {
	var all []string
	var joined strings.Builder
	for _, pattern := range []string{"*.go", filepath.Join(testdata, "*.md"), filepath.Join(testdata, "texts.json")} {
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			data, _ := os.ReadFile(f)
			all = append(all, string(data))
			joined.Write(data)
			var in texts
			if json.Unmarshal(data, &in) == nil {
				all = append(all, strings.Repeat(strings.Join(in.Texts, " and then "), 3))
			}
		}
	}
	return append(all, joined.String(), strings.Join(strings.Fields(joined.String()), " "), strings.Repeat("x", 50_000))
}

// TestConcurrent encodes the same texts from many goroutines.
func TestConcurrent(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	var in texts
	readJSON(t, &in, "texts.json")
	tok := openTiny(t, "roberta", Options{})
	var many []string
	for range 40 {
		many = append(many, in.Texts...)
	}
	got, err := tok.EncodeBatch(context.Background(), many, EncodeOptions{MaxLength: 16})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if d := cmp.Diff(got[i%len(in.Texts)], got[i]); d != "" {
			t.Fatal(d)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tok.EncodeBatch(ctx, many, EncodeOptions{}); err == nil {
		t.Error("a cancelled batch succeeded")
	}
}
