package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Purposes of random numbers. Streams of different purposes are independent.
const (
	selectRows   = "select rows"   // numbers: the file's
	orderRows    = "order rows"    // numbers: the epoch
	orderBatches = "order batches" // numbers: the epoch
	sampleGroup  = "sample group"  // numbers: the epoch, the row
)

// random returns the random numbers of a purpose: ChaCha8 seeded with the SHA-256 of the purpose, a zero byte, and the
// seed and the numbers as little-endian 64-bit integers.
func random(purpose string, seed int64, numbers ...int) *rand.Rand {
	key := make([]byte, 0, 64)
	key = append(append(key, purpose...), 0)
	key = binary.LittleEndian.AppendUint64(key, uint64(seed))
	for _, n := range numbers {
		key = binary.LittleEndian.AppendUint64(key, uint64(n))
	}
	return rand.New(rand.NewChaCha8(sha256.Sum256(key)))
}

// selection chooses k of n in one pass, each set of k equally likely (Knuth, The Art of Computer Programming, volume 2,
// algorithm 3.4.2 S).
type selection struct {
	left, want int
	random     *rand.Rand // nil: all are chosen
}

func (s *Source) selection(o Options, number int) *selection {
	if s.Rows == s.Lines {
		return &selection{}
	}
	return &selection{left: s.Lines, want: s.Rows, random: random(selectRows, o.Seed, number)}
}

// take says whether the next one is chosen.
func (s *selection) take() bool {
	if s.random == nil {
		return true
	}
	chosen := s.left > 0 && s.random.IntN(s.left) < s.want
	s.left--
	if chosen {
		s.want--
	}
	return chosen
}
