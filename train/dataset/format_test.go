package dataset

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"testing"
	"unsafe"
)

// aligned copies data to a multiple of 8, as a mapping is.
func aligned(data []byte) []byte {
	words := make([]uint64, len(data)/8+1)
	out := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(data))
	copy(out, data)
	return out
}

// TestDamagedCacheIsRefused changes every byte, and cuts the file everywhere.
func TestDamagedCacheIsRefused(t *testing.T) {
	file, key := cacheOf(t, scored(t))
	whole := aligned([]byte(readFile(t, file)))
	if _, err := parseCache(whole, key, 1); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		whole[i] ^= 0x41
		if _, err := parseCache(whole, key, 1); err == nil {
			t.Errorf("byte %d is changed, and the cache is taken", i)
		}
		whole[i] ^= 0x41
	}
	for n := range whole {
		if _, err := parseCache(whole[:n], key, 1); err == nil {
			t.Errorf("the first %d of %d bytes are taken", n, len(whole))
		}
	}
	if _, err := parseCache(aligned(append(whole[:len(whole):len(whole)], make([]byte, 8)...)), key, 1); err == nil {
		t.Error("a longer file is taken")
	}
}

// TestWrongNumbersAreRefused has caches whose checksums fit, with numbers that point outside.
func TestWrongNumbersAreRefused(t *testing.T) {
	file, key := cacheOf(t, scored(t))
	data := readFile(t, file)
	tests := []struct {
		name   string
		change func(c *content)
		want   string
	}{
		{"none", func(c *content) {}, ""},
		{"start", func(c *content) { c.texts[2].Start = math.MaxUint64 }, "text 2 is outside of its tokens"},
		{"length", func(c *content) { c.texts[2].Length = math.MaxUint32 }, "text 2 is outside of its tokens"},
		{"passage", func(c *content) { c.passages[3] = uint32(len(c.texts)) }, "passage 3 has no text"},
		{"first passage", func(c *content) { c.rows[1].Passages = math.MaxUint64 }, "row 1 is outside of its passages"},
		{"positives", func(c *content) { c.rows[1].Pos, c.rows[1].Neg = math.MaxUint32, math.MaxUint32 }, "row 1 is outside of its passages"},
		{"no positive", func(c *content) { c.rows[1].Pos = 0 }, "row 1 has no positive"},
		{"query", func(c *content) { c.rows[1].Query = 1000 }, "row 1 has no query"},
		{"source", func(c *content) { c.rows[1].Source = 1 }, "row 1 has no source"},
		{"next outside", func(c *content) { c.rows[1].Next = 5 }, "row 1 has no next one"},
		{"next is another's", func(c *content) { c.rows[1].Next = 0 }, "row 3 has no next one"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			whole := aligned([]byte(data))
			c, err := parseCache(whole, key, 1)
			if err != nil {
				t.Fatal(err)
			}
			test.change(c)
			seal(t, whole)
			if _, err = parseCache(whole, key, 1); fmt.Sprint(err) != test.want && (err != nil || test.want != "") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// seal writes the checksum that fits.
func seal(t testing.TB, data []byte) {
	t.Helper()
	var h header
	if _, err := binary.Decode(data, binary.NativeEndian, &h); err != nil {
		t.Fatal(err)
	}
	h.Checksum = h.sum(crc32.Checksum(data[headerSize:], crcTable))
	copy(data, h.bytes())
}

// FuzzParseCache gives caches with fitting checksums and any other bytes: what is taken must be usable throughout.
func FuzzParseCache(f *testing.F) {
	file, key := cacheOf(f, scored(f))
	f.Add([]byte(readFile(f, file)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < headerSize {
			return
		}
		data = aligned(data)
		copy(data[16:], key[:])
		seal(t, data)
		c, err := parseCache(data, key, 1)
		if err != nil {
			return
		}
		for i, r := range c.rows {
			c.text(r.Query)
			c.knownPositives(uint32(i))
			for _, text := range c.passages[r.Passages:][:r.Pos+r.Neg] {
				c.text(text)
			}
		}
	})
}
