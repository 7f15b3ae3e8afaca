package graph

import (
	"encoding/binary"
	"fmt"
	"io"
)

// tile is the side of the squares that are transposed at once, a cache line of 16-bit elements.
const tile = 32

// writeTransposed writes the transpose of t, a tile's width of its columns at a time.
func writeTransposed(w io.Writer, t *Tensor) error {
	src, err := t.Bytes()
	if err != nil {
		return err
	}
	size := t.DType.Bits() / 8
	if size == 0 {
		return fmt.Errorf("transpose tensor %q: elements of %d bits", t.Name, t.DType.Bits())
	}
	rows, cols := int(t.Shape[0]), int(t.Shape[1])
	block := make([]byte, min(tile, cols)*rows*size)
	for first := 0; first < cols; first += tile {
		n := min(tile, cols-first)
		for r := 0; r < rows; r += tile {
			to, from := block[r*size:], src[(r*cols+first)*size:]
			if square := squares[size]; square != nil && n == tile && rows-r >= tile {
				square(to, from, rows*size, cols*size)
			} else {
				part(to, from, min(tile, rows-r), n, size, rows*size, cols*size)
			}
		}
		if _, err := w.Write(block[:n*rows*size]); err != nil {
			return err
		}
	}
	return nil
}

// part transposes rows × cols elements, whose rows are fromRow bytes apart; those of the result are toRow apart.
func part(to, from []byte, rows, cols, size, toRow, fromRow int) {
	for c := range cols {
		for r := range rows {
			copy(to[c*toRow+r*size:][:size], from[r*fromRow+c*size:])
		}
	}
}

// squares are part for a whole tile, by the size of an element. Words of 8 bytes are exchanged between rows, and lines
// of the result copied when they are full: rows of a matrix are often a power of two apart, where a cache
// holds few of them.
var squares = map[int]func(to, from []byte, toRow, fromRow int){
	2: func(to, from []byte, toRow, fromRow int) {
		const even, low = 0x0000ffff0000ffff, 0x00000000ffffffff
		var turned [tile][2 * tile]byte
		for r := 0; r < tile; r += 4 {
			row0, row1 := (*[2 * tile]byte)(from[r*fromRow:]), (*[2 * tile]byte)(from[(r+1)*fromRow:])
			row2, row3 := (*[2 * tile]byte)(from[(r+2)*fromRow:]), (*[2 * tile]byte)(from[(r+3)*fromRow:])
			for c := 0; c < tile; c += 4 {
				a, b := binary.LittleEndian.Uint64(row0[2*c:]), binary.LittleEndian.Uint64(row1[2*c:])
				d, e := binary.LittleEndian.Uint64(row2[2*c:]), binary.LittleEndian.Uint64(row3[2*c:])
				a, b = a&even|b&even<<16, a>>16&even|b&^even
				d, e = d&even|e&even<<16, d>>16&even|e&^even
				binary.LittleEndian.PutUint64(turned[c][2*r:], a&low|d<<32)
				binary.LittleEndian.PutUint64(turned[c+1][2*r:], b&low|e<<32)
				binary.LittleEndian.PutUint64(turned[c+2][2*r:], a>>32|d&^low)
				binary.LittleEndian.PutUint64(turned[c+3][2*r:], b>>32|e&^low)
			}
		}
		for c := range turned {
			*(*[2 * tile]byte)(to[c*toRow:]) = turned[c]
		}
	},
	4: func(to, from []byte, toRow, fromRow int) {
		const low = 0x00000000ffffffff
		var turned [tile][4 * tile]byte
		for r := 0; r < tile; r += 2 {
			row0, row1 := (*[4 * tile]byte)(from[r*fromRow:]), (*[4 * tile]byte)(from[(r+1)*fromRow:])
			for c := 0; c < tile; c += 2 {
				a, b := binary.LittleEndian.Uint64(row0[4*c:]), binary.LittleEndian.Uint64(row1[4*c:])
				binary.LittleEndian.PutUint64(turned[c][4*r:], a&low|b<<32)
				binary.LittleEndian.PutUint64(turned[c+1][4*r:], a>>32|b&^low)
			}
		}
		for c := range turned {
			*(*[4 * tile]byte)(to[c*toRow:]) = turned[c]
		}
	},
}
