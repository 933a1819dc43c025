package message

import "encoding/binary"

// A Puzzle is the data of PUZZLE (RFC 8019 8.1): find keys for the PRF whose
// outputs over the cookie end in Difficulty zero bits.
type Puzzle struct {
	PRF        uint16
	Difficulty uint8
}

// Puzzle decodes PUZZLE.
func (p *Notify) Puzzle() (Puzzle, error) {
	d, err := p.sized(3)
	if err != nil {
		return Puzzle{}, err
	}
	return Puzzle{PRF: binary.BigEndian.Uint16(d), Difficulty: d[2]}, nil
}

// AppendPuzzleData appends the data of PUZZLE.
func AppendPuzzleData(dst []byte, p Puzzle) []byte {
	return append(dst, byte(p.PRF>>8), byte(p.PRF), p.Difficulty)
}
