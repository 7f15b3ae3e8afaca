package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// blockType is a type of ggml: how many elements a block of it holds, in how many bytes, and
// what they are read as.
type blockType struct {
	name     string
	elements int64
	bytes    int64
	dtype    string // by its name in safetensors
	width    int64  // bytes of an element as it is read
	decode   func(values *[blockElements]float32, block []byte)
}

// blockElements is the size of a quantized block.
const blockElements = 32

// blockTypes are the types that can be read, by their numbers in ggml (enum ggml_type). Blocks are those of
// ggml-common.h: float16 scales before the codes, and nibbles that hold elements i and i+16.
var blockTypes = map[uint32]*blockType{
	0:  {name: "F32", elements: 1, bytes: 4, dtype: "F32", width: 4},
	1:  {name: "F16", elements: 1, bytes: 2, dtype: "F16", width: 2},
	2:  {name: "Q4_0", elements: blockElements, bytes: 2 + 16, dtype: "F32", width: 4, decode: decodeQ4_0},
	3:  {name: "Q4_1", elements: blockElements, bytes: 2 + 2 + 16, dtype: "F32", width: 4, decode: decodeQ4_1},
	8:  {name: "Q8_0", elements: blockElements, bytes: 2 + 32, dtype: "F32", width: 4, decode: decodeQ8_0},
	30: {name: "BF16", elements: 1, bytes: 2, dtype: "BF16", width: 2},
}

// otherTypes are the names of the types that cannot be read, for the message that says so.
var otherTypes = map[uint32]string{
	6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K",
	16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
	24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

func typeOf(kind uint32) (*blockType, error) {
	if b := blockTypes[kind]; b != nil {
		return b, nil
	}
	name := otherTypes[kind]
	if name == "" {
		name = fmt.Sprint(kind)
	}
	return nil, fmt.Errorf("type %s is not supported; supported: F32, F16, BF16, Q8_0, Q4_0, Q4_1", name)
}

// decodeAll dequantizes whole blocks to little-endian float32.
func (b *blockType) decodeAll(out, blocks []byte) {
	var values [blockElements]float32
	for len(blocks) > 0 {
		b.decode(&values, blocks[:b.bytes])
		for i, v := range values {
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v))
		}
		blocks, out = blocks[b.bytes:], out[4*blockElements:]
	}
}

// decodeQ4_0 is scale · (code − 8).
func decodeQ4_0(values *[blockElements]float32, block []byte) {
	d := half(block)
	for i, code := range block[2:] {
		values[i] = float32(int(code&15)-8) * d
		values[i+16] = float32(int(code>>4)-8) * d
	}
}

// decodeQ4_1 is scale · code + least.
func decodeQ4_1(values *[blockElements]float32, block []byte) {
	d, least := half(block), half(block[2:])
	for i, code := range block[4:] {
		values[i] = float32(float32(code&15)*d) + least // rounded twice, as the reference is: no fused product
		values[i+16] = float32(float32(code>>4)*d) + least
	}
}

// decodeQ8_0 is scale · code.
func decodeQ8_0(values *[blockElements]float32, block []byte) {
	d := half(block)
	for i, code := range block[2:] {
		values[i] = float32(int8(code)) * d
	}
}

// half reads a float16.
func half(b []byte) float32 {
	h := binary.LittleEndian.Uint16(b)
	sign, exponent, fraction := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0: // zero and subnormals: fraction · 2^-24
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(v))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}
