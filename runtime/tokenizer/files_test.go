package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readTiny(t testing.TB, name string) Files {
	t.Helper()
	var f Files
	for file, to := range map[string]*[]byte{fileTokenizer: &f.Tokenizer, fileConfig: &f.Config, fileSpecial: &f.Special} {
		data, err := os.ReadFile(filepath.Join(testdata, name, file))
		if err != nil {
			t.Fatal(err)
		}
		*to = data
	}
	return f
}

// change edits one section of a tokenizer.json.
func change(t testing.TB, data []byte, section, value string) []byte {
	t.Helper()
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(data, &sections); err != nil {
		t.Fatal(err)
	}
	sections[section] = json.RawMessage(value)
	out, err := json.Marshal(sections)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func encodeIDs(t testing.TB, f Files, o Options, text string, e EncodeOptions) []int32 {
	t.Helper()
	tok, err := FromBytes(f, o)
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	got, err := tok.Encode(text, e)
	if err != nil {
		t.Fatal(err)
	}
	return got.IDs
}

// TestStoredPaddingIgnored stores padding and truncation in the file, as
// published models do.
func TestStoredPaddingIgnored(t *testing.T) {
	f := readTiny(t, "bert")
	want := encodeIDs(t, f, Options{}, "The quick brown fox", EncodeOptions{})
	f.Tokenizer = change(t, f.Tokenizer, "truncation", `{"direction":"Right","max_length":4,"strategy":"LongestFirst","stride":0}`)
	f.Tokenizer = change(t, f.Tokenizer, "padding", `{"strategy":{"Fixed":128},"direction":"Left","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"[PAD]"}`)
	if d := cmp.Diff(want, encodeIDs(t, f, Options{}, "The quick brown fox", EncodeOptions{})); d != "" {
		t.Error(d)
	}
	f.Config, f.Special = nil, nil
	tok, err := FromBytes(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	if tok.PaddingSide() != Left || tok.PadID() != 0 {
		t.Errorf("padding side %q id %d, the file says Left and 0", tok.PaddingSide(), tok.PadID())
	}
}

func TestConfiguration(t *testing.T) {
	for _, c := range []struct {
		name      string
		o         Options
		side      Side
		pad       int32
		maxLength int
	}{
		{"bert", Options{}, Right, 0, 64},
		{"qwen3", Options{}, Left, 0, 32},
		{"roberta", Options{PaddingSide: Left, PadToken: "<mask>"}, Left, 4, 64},
		{"llama", Options{}, Right, 2, 64}, // no pad token: eos
	} {
		tok := openTiny(t, c.name, c.o)
		if tok.PaddingSide() != c.side || tok.PadID() != c.pad || tok.ModelMaxLength() != c.maxLength {
			t.Errorf("%s: side %s, pad id %d, length %d; want %+v", c.name, tok.PaddingSide(), tok.PadID(), tok.ModelMaxLength(), c)
		}
	}
	tok := openTiny(t, "bert", Options{})
	if id, ok := tok.TokenID("cls"); !ok || id != 2 {
		t.Errorf("cls is %d, %v", id, ok)
	}
	if _, ok := tok.TokenID("eos"); ok {
		t.Error("bert has an eos token")
	}
	if tok.MaxID() != 511 {
		t.Errorf("largest id %d", tok.MaxID())
	}
	if err := tok.CheckRows(512); err != nil {
		t.Error(err)
	}
	if err := tok.CheckRows(511); err == nil || !strings.Contains(err.Error(), "id 511, the embedding table has 511 rows") {
		t.Errorf("CheckRows: %v", err)
	}
}

// TestBeginEnd has transformers' outcome of add_bos_token and add_eos_token.
func TestBeginEnd(t *testing.T) {
	yes, no := true, false
	f := readTiny(t, "llama")
	body := encodeIDs(t, f, Options{}, "a b", EncodeOptions{NoSpecial: true})
	for _, c := range []struct {
		begin, end *bool
		want       []int32
	}{
		{nil, nil, append([]int32{1}, body...)},
		{&yes, &yes, append(append([]int32{1}, body...), 2)},
		{&no, &yes, append(slices.Clone(body), 2)},
		{nil, &yes, append(slices.Clone(body), 2)},
		{&no, nil, body},
	} {
		o := Options{AddBOSToken: c.begin, AddEOSToken: c.end}
		if d := cmp.Diff(c.want, encodeIDs(t, f, o, "a b", EncodeOptions{})); d != "" {
			t.Errorf("%v %v: %s", c.begin, c.end, d)
		}
	}
	tok, err := FromBytes(f, Options{AddBOSToken: &yes, AddEOSToken: &yes})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	pair, err := tok.EncodePair("a", "", EncodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := tok.Encode("a", EncodeOptions{NoSpecial: true})
	want := Encoding{
		IDs:     append(append([]int32{1}, a.IDs...), 2, 1, 2),
		TypeIDs: append(make([]int32, len(a.IDs)+2), 1, 1),
		Special: append(append([]int32{1}, make([]int32, len(a.IDs))...), 1, 1, 1),
	}
	if d := cmp.Diff(want, pair); d != "" {
		t.Errorf("pair: %s", d)
	}
	if _, err := FromBytes(readTiny(t, "bert"), Options{AddEOSToken: &yes}); err == nil || !strings.Contains(err.Error(), "names no eos_token") {
		t.Errorf("no eos: %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	bert := readTiny(t, "bert")
	with := func(section, value string) Files {
		return Files{Tokenizer: change(t, bert.Tokenizer, section, value), Config: bert.Config}
	}
	for _, c := range []struct {
		f    Files
		o    Options
		want string
	}{
		{Files{Tokenizer: []byte{}}, Options{}, "the file is cut off after 0 bytes"},
		{Files{Tokenizer: bert.Tokenizer[:len(bert.Tokenizer)/2]}, Options{}, "the file is cut off after"},
		{Files{Tokenizer: append([]byte("x"), bert.Tokenizer...)}, Options{}, "at byte 1: invalid character 'x'"},
		{Files{Tokenizer: []byte("[]")}, Options{}, "read tokenizer.json"},
		{Files{Tokenizer: []byte("{}")}, Options{}, `it has no "model"`},
		{with("model", `{"type":"WordPiece"}`), Options{}, "vocab: missing"},
		{Files{Tokenizer: []byte(`{"model":{"type":"WordPiece","vocab":{}}}`)}, Options{}, "the vocabulary is empty"},
		{with("model", `{"type":"BPE","continuing_subword_prefix":"##","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}`), Options{}, `merge 0, "a b", does not continue a word with "##"`},
		{with("model", `{"type":"BPE","vocab":{"a":-1},"merges":[]}`), Options{}, `token "a" has the id -1`},
		{with("model", `{"type":"BPE","vocab":{"a":99999999999},"merges":[]}`), Options{}, "vocab"},
		{with("model", `{"type":"BPE","vocab":{"a":0},"merges":["a b"]}`), Options{}, "read tokenizer.json"},
		{with("model", `{"type":"Unigram","vocab":[["a",0.5,1]],"unk_id":0}`), Options{}, "a piece has 3 parts"},
		{with("model", `{"type":"Unigram","vocab":[["a",0.5]],"unk_id":7}`), Options{}, "read tokenizer.json"},
		{with("model", `{"type":"New","vocab":{"a":0}}`), Options{}, "read tokenizer.json"},
		{with("normalizer", `{"type":"New"}`), Options{}, "read tokenizer.json"},
		{with("normalizer", `{"type":"Replace","pattern":{"Regex":"("},"content":""}`), Options{}, "read tokenizer.json"},
		{with("normalizer", `{"type":"Precompiled","precompiled_charsmap":"AAAA"}`), Options{}, "read tokenizer.json"},
		{with("post_processor", `{"type":"New"}`), Options{}, `post_processor: unknown type "New"`},
		{with("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[X]","type_id":0}}],"pair":[],"special_tokens":{}}`), Options{}, `special token "[X]" is not defined`},
		{with("added_tokens", `7`), Options{}, "added_tokens"},
		{Files{Tokenizer: bert.Tokenizer, Config: []byte("{")}, Options{}, "read tokenizer_config.json"},
		{Files{Tokenizer: bert.Tokenizer, Config: []byte(`{"pad_token":7}`)}, Options{}, "pad_token: neither a string nor an added token"},
		{Files{Tokenizer: bert.Tokenizer, Config: []byte(`{"padding_side":"up"}`)}, Options{}, `padding_side is "up"`},
		{bert, Options{PadToken: "[NONE]"}, `pad token "[NONE]" is not in the tokenizer's vocabulary`},
		{bert, Options{TruncationSide: "middle"}, `truncation_side is "middle"`},
	} {
		tok, err := FromBytes(c.f, c.o)
		if err == nil {
			tok.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	tok := openTiny(t, "bert", Options{})
	if _, err := tok.Encode("a", EncodeOptions{MaxLength: 1}); err == nil || !strings.Contains(err.Error(), "leaves no room for 2 special tokens") {
		t.Errorf("no room: %v", err)
	}
	if e, err := tok.Encode("a", EncodeOptions{MaxLength: 2}); err != nil || !slices.Equal(e.IDs, []int32{2, 3}) {
		t.Errorf("room for none: %v %v", e, err)
	}
	if _, err := tok.EncodePair("a b c", "d e f", EncodeOptions{MaxLength: 5, Strategy: "shortest"}); err == nil {
		t.Error("an unknown strategy was accepted")
	}
	tok.Close()
	if _, err := tok.Encode("a", EncodeOptions{}); err == nil {
		t.Error("a closed tokenizer encodes")
	}
}

// TestNoUnknownToken has text that the model cannot spell and no token for it.
func TestNoUnknownToken(t *testing.T) {
	f := readTiny(t, "bert")
	f.Tokenizer = change(t, f.Tokenizer, "model", `{"type":"WordPiece","unk_token":"[NONE]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"a":0,"[CLS]":2,"[SEP]":3}}`)
	f.Tokenizer = change(t, f.Tokenizer, "added_tokens", `[]`)
	tok, err := FromBytes(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	if e, err := tok.Encode("a", EncodeOptions{NoSpecial: true}); err != nil || !slices.Equal(e.IDs, []int32{0}) {
		t.Errorf("a: %v %v", e, err)
	}
	if _, err := tok.Encode("b", EncodeOptions{}); err == nil || !strings.Contains(err.Error(), "no unknown token") {
		t.Errorf("b: %v", err)
	}
}

// TestConfigOverNormalizer: what tokenizer_config.json says of case and accents stands above tokenizer.json, for BERT's classes alone.
func TestConfigOverNormalizer(t *testing.T) {
	f := readTiny(t, "bert")
	lower := encodeIDs(t, f, Options{}, "the", EncodeOptions{})
	for _, c := range []struct {
		config string
		same   bool
	}{
		{`{"tokenizer_class": "BertTokenizerFast", "do_lower_case": true}`, true},
		{`{"tokenizer_class": "BertTokenizer"}`, true},
		{`{"tokenizer_class": "BertTokenizer", "do_lower_case": false}`, false},
		{`{"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": false}`, true},
	} {
		f.Config = []byte(c.config)
		if got := encodeIDs(t, f, Options{}, "THE", EncodeOptions{}); slices.Equal(got, lower) != c.same {
			t.Errorf("%s: ids %v of THE, %v of the", c.config, got, lower)
		}
	}
}
