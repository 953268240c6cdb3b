package datatype

import (
	"cmp"
	"math/big"
	"slices"

	"headgate/gateway/point"
)

// Describe says of a point what its values can be.
func (f *Field) Describe(info *point.Info) {
	info.Length = f.Length
	if len(f.Texts) > 0 {
		info.Kind, info.Texts = point.String, f.texts()
		return
	}
	switch f.Type.Kind {
	case Bool:
		info.Kind = point.Bool
		return
	case Text, Text8:
		info.Kind = point.String
		return
	case Time:
		info.Kind, info.Time = point.String, true
		return
	}
	info.Kind = f.numberKind()
	info.Min, info.Max = f.Min, f.Max
	info.Bounded = f.Min != nil && f.Max != nil
	if f.Type.Kind != Float {
		info.Step, _ = new(big.Rat).Abs(f.Scaling.Scale).Float64()
		least, most := f.span()
		if info.Min == nil {
			info.Min = &least
		}
		if info.Max == nil {
			info.Max = &most
		}
	}
}

// texts are those of an enum, in the order of the numbers that they stand for, each
// once.
func (f *Field) texts() []string {
	var keys []uint64
	for bits := range f.Texts {
		keys = append(keys, bits)
	}
	slices.SortFunc(keys, func(a, b uint64) int {
		if f.Type.Kind == Signed {
			return cmp.Compare(signed(a, f.Bits()), signed(b, f.Bits()))
		}
		return cmp.Compare(a, b)
	})
	var texts []string
	for _, bits := range keys {
		if !slices.Contains(texts, f.Texts[bits]) {
			texts = append(texts, f.Texts[bits])
		}
	}
	return texts
}

// numberKind is Int or Uint where every number is whole.
func (f *Field) numberKind() point.Kind {
	switch {
	case f.Type.Kind == Float || !f.Scaling.Scale.IsInt() || !f.Scaling.Offset.IsInt():
		return point.Float
	case f.Type.Kind == Signed || !f.Scaling.none:
		return point.Int
	}
	return point.Uint
}

// span is the least and the greatest number that a whole-number type, or one in
// BCD, can hold, after scale and offset.
func (f *Field) span() (least, most float64) {
	low, high := f.Range()
	apply := func(n *big.Int) float64 {
		v := new(big.Rat).SetInt(n)
		r, _ := v.Mul(v, f.Scaling.Scale).Add(v, f.Scaling.Offset).Float64()
		return r
	}
	least, most = apply(low), apply(high)
	return min(least, most), max(least, most)
}

// Range is the least and the greatest number that a whole-number type, or one in
// BCD, can hold.
func (f *Field) Range() (low, high *big.Int) {
	width := f.Bits()
	low, high = new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(width))
	switch f.Type.Kind {
	case Signed:
		high.Rsh(high, 1)
		low.Neg(high)
	case BCD:
		high.Exp(big.NewInt(10), big.NewInt(int64(width/4)), nil)
	}
	return low, high.Sub(high, big.NewInt(1))
}
