package tokenizer

import (
	"encoding/json"
	"maps"
	"math/rand"
	"slices"
	"testing"
)

// damage replaces, removes or doubles one random part of a JSON value.
func damage(r *rand.Rand, v any) any {
	wrong := []any{nil, 7.0, -1.0, 1e12, true, "", "x", "Sequence", "Precompiled", []any{}, map[string]any{}}
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return v
		}
		key := slices.Sorted(maps.Keys(v))[r.Intn(len(v))]
		switch r.Intn(8) {
		case 0:
			delete(v, key)
		case 1:
			v[key] = wrong[r.Intn(len(wrong))]
		default:
			v[key] = damage(r, v[key])
		}
		return v
	case []any:
		if len(v) == 0 {
			return append(v, 7.0)
		}
		i := r.Intn(len(v))
		switch r.Intn(6) {
		case 0:
			return slices.Delete(v, i, i+1)
		case 1:
			return append(v, v[i])
		}
		v[i] = damage(r, v[i])
		return v
	}
	return wrong[r.Intn(len(wrong))]
}

// TestDamagedFiles reads tokenizers with a few parts of their JSON changed:
// whatever comes, an error or a tokenizer that encodes, the process goes on.
func TestDamagedFiles(t *testing.T) {
	opened := 0
	const seeds = 400
	for seed := range int64(seeds) {
		r := rand.New(rand.NewSource(seed))
		f := readTiny(t, tiny[r.Intn(len(tiny))])
		var v any
		if err := json.Unmarshal(f.Tokenizer, &v); err != nil {
			t.Fatal(err)
		}
		for range 1 + r.Intn(3) {
			v = damage(r, v)
		}
		var err error
		if f.Tokenizer, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
		tok, err := FromBytes(f, Options{})
		if err != nil {
			continue
		}
		opened++
		for _, text := range []string{"Hello <s> [CLS] wé 中 zz", "\x00", "", " "} {
			tok.Encode(text, EncodeOptions{})
		}
		tok.EncodePair("a", "b", EncodeOptions{})
		tok.Close()
	}
	if opened == 0 || opened == seeds {
		t.Errorf("%d of %d damaged files were read", opened, seeds)
	}
}

// charsmap makes a sentencepiece normalization table with one rule, from the
// byte 'a' to a replacement.
func charsmap(replacement string, change func(trie []uint32)) []byte {
	trie := make([]uint32, 512)
	trie[0] = 256 << 10                // children of the root are at 256 ^ byte
	trie[256^'a'] = 'a' | 1<<8 | 1<<10 // a leaf one further
	trie[256^'a'^1] = 1 << 31          // its value: offset 0
	change(trie)
	data := []byte{0, 8, 0, 0} // 2048 bytes
	for _, u := range trie {
		data = append(data, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
	}
	return append(data, replacement...)
}

func TestCharsmap(t *testing.T) {
	whole := charsmap("bc\x00", func([]uint32) {})
	if err := checkCharsmap(whole); err != nil {
		t.Fatal(err)
	}
	normalizer, err := json.Marshal(map[string]any{"type": "Precompiled", "precompiled_charsmap": whole})
	if err != nil {
		t.Fatal(err)
	}
	f := readTiny(t, "xlm-roberta")
	want := encodeIDs(t, withNormalizer(t, f, "null"), Options{}, "bcb", EncodeOptions{})
	got := encodeIDs(t, withNormalizer(t, f, string(normalizer)), Options{}, "ab", EncodeOptions{})
	if !slices.Equal(got, want) {
		t.Errorf("the rule a → bc: got %v, want %v", got, want)
	}
	for name, data := range map[string][]byte{
		"short":               whole[:3],
		"cut":                 whole[:1000],
		"no trie":             {0, 0, 0, 0},
		"root outside":        charsmap("b\x00", func(trie []uint32) { trie[0] = 512 << 10 }),
		"child outside":       charsmap("b\x00", func(trie []uint32) { trie[256^'a'] = 'a' | 1023<<10 }),
		"value outside":       charsmap("b\x00", func(trie []uint32) { trie[256^'a'^1] = 1<<31 | 9 }),
		"value inside a rune": charsmap("é\x00", func(trie []uint32) { trie[256^'a'^1] = 1<<31 | 1 }),
		"not UTF-8":           charsmap("\xff\x00", func([]uint32) {}),
	} {
		if err := checkCharsmap(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func withNormalizer(t *testing.T, f Files, value string) Files {
	f.Tokenizer = change(t, f.Tokenizer, "normalizer", value)
	return f
}
