package tokenizerjson

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The kinds of SentencePiece models that are read, and the types of pieces that are not found by them
// (TrainerSpec.ModelType and SentencePiece.Type of sentencepiece_model.proto).
const (
	unigramModel = 1
	bpeModel     = 2

	controlPiece = 3
	userPiece    = 4
)

// modelKinds name the kinds for errors.
var modelKinds = map[uint64]string{3: "word", 4: "char"}

// piece is a token of a SentencePiece model.
type piece struct {
	text  string
	score float64 // the log probability; for BPE the higher the sooner it is joined
	kind  uint64
}

// sentencePiece is what of a SentencePiece model (ModelProto) makes a tokenizer.
type sentencePiece struct {
	pieces   []piece
	kind     uint64
	unk      uint64 // the unknown token's id
	unkPiece string
	charsmap []byte // how characters are normalized first; nil: not
}

// mostPiece is the length of the longest piece in bytes: SentencePiece makes none longer than a few dozen.
const mostPiece = 4096

// readSentencePiece reads a model. Every length is checked against what there is.
func readSentencePiece(raw []byte) (*sentencePiece, error) {
	s := &sentencePiece{kind: unigramModel, unkPiece: "<unk>"} // the schema's defaults
	err := eachField(raw, func(f field) error {
		switch f.number {
		case 1:
			s.pieces = append(s.pieces, piece{kind: 1})
			return f.message(s.setPiece)
		case 2:
			return f.message(s.trainer)
		case 3:
			return f.message(func(g field) error {
				if g.number != 2 {
					return nil
				}
				b, err := g.bytes()
				if len(b) > 0 {
					s.charsmap = b
				}
				return err
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("it is no SentencePiece model, or a damaged one: %w", err)
	}
	if len(s.pieces) == 0 {
		return nil, errors.New("it is no SentencePiece model: there are no pieces")
	}
	return s, s.check()
}

// check refuses pieces that no tokenizer can have.
func (s *sentencePiece) check() error {
	for i, p := range s.pieces {
		switch {
		case !utf8.ValidString(p.text):
			return fmt.Errorf("piece %d, %q, is not UTF-8", i, p.text)
		case len(p.text) > mostPiece:
			return fmt.Errorf("piece %d has %d bytes, more than %d", i, len(p.text), mostPiece)
		case math.IsNaN(p.score) || math.IsInf(p.score, 0):
			return fmt.Errorf("piece %d, %q, has the score %v", i, p.text, p.score)
		}
	}
	return nil
}

// setPiece sets a field of the last piece.
func (s *sentencePiece) setPiece(f field) error {
	var err error
	p := &s.pieces[len(s.pieces)-1]
	switch f.number {
	case 1:
		var b []byte
		b, err = f.bytes()
		p.text = string(b)
	case 2:
		var score float32
		score, err = f.float()
		p.score = float64(score)
	case 3:
		p.kind, err = f.uint()
	}
	return err
}

// trainer sets what a field of trainer_spec says.
func (s *sentencePiece) trainer(f field) error {
	var err error
	switch f.number {
	case 3:
		s.kind, err = f.uint()
	case 40:
		s.unk, err = f.uint()
	case 45:
		var b []byte
		b, err = f.bytes()
		s.unkPiece = string(b)
	}
	return err
}

// field is a field of a protobuf message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  []byte // encoded, with its length where it has one
}

// eachField calls do for each field of a message.
func eachField(raw []byte, do func(field) error) error {
	for at := 0; at < len(raw); {
		number, kind, n := protowire.ConsumeTag(raw[at:])
		if n < 0 {
			return fmt.Errorf("at byte %d: %w", at, protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, kind, raw[at+n:])
		if size < 0 {
			return fmt.Errorf("field %d at byte %d: %w", number, at, protowire.ParseError(size))
		}
		if err := do(field{number, kind, raw[at+n : at+n+size]}); err != nil {
			return fmt.Errorf("field %d at byte %d: %w", number, at, err)
		}
		at += n + size
	}
	return nil
}

var errWireType = errors.New("it is of another type")

func (f field) bytes() ([]byte, error) {
	if f.kind != protowire.BytesType {
		return nil, errWireType
	}
	b, n := protowire.ConsumeBytes(f.value)
	return b, protowire.ParseError(n)
}

func (f field) uint() (uint64, error) {
	if f.kind != protowire.VarintType {
		return 0, errWireType
	}
	v, n := protowire.ConsumeVarint(f.value)
	return v, protowire.ParseError(n)
}

func (f field) float() (float32, error) {
	if f.kind != protowire.Fixed32Type {
		return 0, errWireType
	}
	v, n := protowire.ConsumeFixed32(f.value)
	return math.Float32frombits(v), protowire.ParseError(n)
}

func (f field) message(do func(field) error) error {
	b, err := f.bytes()
	if err != nil {
		return err
	}
	return eachField(b, do)
}
