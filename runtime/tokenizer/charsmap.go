package tokenizer

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// checkCharsmaps checks the tables of sentencepiece normalizers ("Precompiled").
// The Rust library trusts them: a broken one ends the process, when it is read
// or at the first text that touches it.
func (f *file) checkCharsmaps() error {
	steps, err := readSteps(f.sections["normalizer"])
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.Type != "Precompiled" {
			continue
		}
		var encoded string
		if err := json.Unmarshal(s.Charsmap, &encoded); err != nil {
			return fmt.Errorf("precompiled_charsmap: %w", err)
		}
		data, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil {
			return fmt.Errorf("precompiled_charsmap: %w", err)
		}
		if err := checkCharsmap(data); err != nil {
			return fmt.Errorf("precompiled_charsmap: %w", err)
		}
	}
	return nil
}

// checkCharsmap walks sentencepiece's normalization table: the size in bytes of
// a trie, the trie (a darts-clone double array of 32-bit units, little endian)
// from UTF-8 sequences to offsets, and the replacements they point at, each
// ended by NUL.
func checkCharsmap(data []byte) error {
	if len(data) < 4 {
		return errors.New("too short")
	}
	size := binary.LittleEndian.Uint32(data)
	if uint64(size) > uint64(len(data)-4) || size%4 != 0 || size == 0 {
		return fmt.Errorf("it claims a trie of %d bytes and has %d in all", size, len(data))
	}
	trie := make([]uint32, size/4)
	for i := range trie {
		trie[i] = binary.LittleEndian.Uint32(data[4+4*i:])
	}
	replacements := data[4+size:]
	if !utf8.Valid(replacements) {
		return errors.New("its replacements are not UTF-8")
	}
	visited := make([]bool, len(trie))
	for open := []uint32{0}; len(open) > 0; {
		at := open[len(open)-1]
		open = open[:len(open)-1]
		unit := trie[at]
		base := at ^ unit>>10<<(unit&(1<<9)>>6)
		if uint64(base|0xff) >= uint64(len(trie)) {
			return fmt.Errorf("unit %d of its trie points outside", at)
		}
		if hasLeaf := at != 0 && unit>>8&1 == 1; hasLeaf {
			offset := trie[base] &^ (1 << 31)
			if uint64(offset) > uint64(len(replacements)) || int(offset) < len(replacements) && !utf8.RuneStart(replacements[offset]) {
				return fmt.Errorf("unit %d of its trie has no replacement", base)
			}
		}
		for c := uint32(1); c < 256; c++ {
			if next := base ^ c; trie[next]&(1<<31|0xff) == c && !visited[next] {
				visited[next] = true
				open = append(open, next)
			}
		}
	}
	return nil
}
