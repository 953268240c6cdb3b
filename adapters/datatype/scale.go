package datatype

import (
	"fmt"
	"math"
	"math/big"
	"strconv"

	"headgate/gateway/point"
)

// Scaling makes values of the numbers in a device: number * scale + offset. It
// computes with the decimals that stand in the config, not with their binary
// neighbours: 2314 * 0.1 is 231.4 and not 231.40000000000003.
type Scaling struct {
	Scale, Offset *big.Rat
	none          bool // scale 1, offset 0

	// (number * a + b) / d is the same where these fit 53 bits, which is where
	// one division rounds once.
	small   bool
	a, b, d int64
}

// NewScaling is the scaling of two finite numbers.
func NewScaling(scale, offset float64) Scaling {
	return exactScaling(decimal(scale), decimal(offset))
}

// Times10 is the Scaling of numbers that have a power of ten of their own.
func (s *Scaling) Times10(power int) Scaling {
	ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(power, -power))), nil)
	by := new(big.Rat).SetInt(ten)
	if power < 0 {
		by.Inv(by)
	}
	return exactScaling(by.Mul(by, s.Scale), s.Offset)
}

func exactScaling(scale, offset *big.Rat) Scaling {
	s := Scaling{Scale: scale, Offset: offset}
	s.none = scale.Cmp(big.NewRat(1, 1)) == 0 && offset.Sign() == 0
	d := new(big.Int).Mul(s.Scale.Denom(), s.Offset.Denom())
	a := new(big.Int).Mul(s.Scale.Num(), s.Offset.Denom())
	b := new(big.Int).Mul(s.Offset.Num(), s.Scale.Denom())
	g := new(big.Int).GCD(nil, nil, a, d)
	g.GCD(nil, nil, g, b)
	a.Quo(a, g)
	b.Quo(b, g)
	d.Quo(d, g)
	const most = 53
	if a.BitLen() <= most && b.BitLen() <= most && d.BitLen() <= most {
		s.small, s.a, s.b, s.d = true, a.Int64(), b.Int64(), d.Int64()
	}
	return s
}

// OfInt makes the value of a whole number that the device holds; unsigned says
// that bits is one of 64 bits without a sign. It stays whole, and exact to 64
// bits, where scale and offset are whole numbers.
func (s *Scaling) OfInt(bits uint64, unsigned bool) point.Value {
	if s.none {
		if unsigned {
			return point.OfUint(bits)
		}
		return point.OfInt(int64(bits))
	}
	number := int64(bits)
	if s.small && (!unsigned || number >= 0) {
		if sum, ok := mulAdd(number, s.a, s.b); ok && abs(sum) <= 1<<53 {
			if s.d == 1 {
				return point.OfInt(sum)
			}
			return point.OfFloat(float64(sum) / float64(s.d))
		}
	}
	exact := new(big.Rat)
	if unsigned {
		exact.SetInt(new(big.Int).SetUint64(bits))
	} else {
		exact.SetInt64(number)
	}
	return OfRat(exact.Mul(exact, s.Scale).Add(exact, s.Offset))
}

// OfFloat makes the value of a finite number that the device holds.
func (s *Scaling) OfFloat(f float64) point.Value {
	if s.none {
		return point.OfFloat(f)
	}
	exact := decimal(f)
	v, _ := exact.Mul(exact, s.Scale).Add(exact, s.Offset).Float64()
	return point.OfFloat(v)
}

// Inverse gives the number that a device must hold for its point to have the
// value v, a number.
func (s *Scaling) Inverse(v point.Value) *big.Rat {
	exact := new(big.Rat)
	if i, ok := v.Int(); ok {
		exact.SetInt64(i)
	} else if u, ok := v.Uint(); ok {
		exact.SetInt(new(big.Int).SetUint64(u))
	} else {
		f, _ := v.Float()
		exact = decimal(f)
	}
	return exact.Sub(exact, s.Offset).Quo(exact, s.Scale)
}

// Apply is the value of the number, as a person reads it.
func (s *Scaling) Apply(number *big.Rat) string {
	v := new(big.Rat).Mul(number, s.Scale)
	return OfRat(v.Add(v, s.Offset)).String()
}

// OfRat is a whole number where r is one that fits, or the nearest float64.
func OfRat(r *big.Rat) point.Value {
	if r.IsInt() {
		if n := r.Num(); n.IsInt64() {
			return point.OfInt(n.Int64())
		} else if n.IsUint64() {
			return point.OfUint(n.Uint64())
		}
	}
	f, _ := r.Float64()
	return point.OfFloat(f)
}

// decimal is the shortest decimal that reads back as f, a finite number.
func decimal(f float64) *big.Rat {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	if !ok {
		panic(fmt.Sprintf("%v is not finite", f))
	}
	return r
}

// widen gives the float64 next to the shortest decimal that reads back as f.
func widen(f float32) float64 {
	w, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		return float64(f)
	}
	return w
}

// mulAdd is n*a + b; ok is false when that does not fit.
func mulAdd(n, a, b int64) (sum int64, ok bool) {
	if n == math.MinInt64 || a != 0 && abs(n) > math.MaxInt64/4/abs(a) {
		return 0, false
	}
	return n*a + b, true // |n*a| <= 2^61 and |b| <= 2^53
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
