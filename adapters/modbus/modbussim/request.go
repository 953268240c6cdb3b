package modbussim

import "encoding/binary"

// request is what a PDU asks for.
type request struct {
	function byte
	table    Table // 0 for a function that is not served
	address  uint16
	count    int
	writes   bool
	values   []uint16 // of a write
	at       uint16   // of function 23: where it writes
	and, or  uint16   // of function 22
	bad      byte     // an exception code for a PDU that makes no sense
}

// parse reads a PDU: function code and data. [MB-APP 6]
func parse(pdu []byte) request {
	r := request{function: pdu[0]}
	data := pdu[1:]
	switch r.function {
	case 1, 5, 15:
		r.table = Coils
	case 2:
		r.table = DiscreteInputs
	case 4:
		r.table = InputRegisters
	case 3, 6, 16, 22, 23:
		r.table = HoldingRegisters
	default:
		r.bad = illegalFunction
		return r
	}
	if len(data) < 4 {
		r.bad = illegalDataValue
		return r
	}
	r.address = binary.BigEndian.Uint16(data)
	second := binary.BigEndian.Uint16(data[2:])
	r.count = int(second)
	switch r.function {
	case 5:
		r.writes, r.count = true, 1
		r.values = []uint16{0}
		switch second {
		case 0xff00:
			r.values[0] = 1
		case 0:
		default:
			r.bad = illegalDataValue
		}
	case 6:
		r.writes, r.count, r.values = true, 1, []uint16{second}
	case 15:
		r.writes = true
		r.parseCoils(data[4:])
	case 16:
		r.writes = true
		r.parseRegisters(data[4:])
	case 22:
		r.writes, r.count = true, 1
		if len(data) != 6 {
			r.bad = illegalDataValue
			return r
		}
		r.and, r.or = second, binary.BigEndian.Uint16(data[4:])
	case 23:
		r.writes = true
		r.parseBoth(data[4:])
	}
	return r
}

// parseBoth reads what function 23 writes; what it reads stands before that.
func (r *request) parseBoth(data []byte) {
	if len(data) < 4 || r.count < 1 || r.count > 125 {
		r.bad = illegalDataValue
		return
	}
	read := r.count
	r.at, r.count = binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:]))
	r.parseRegisters(data[4:])
	r.count = read
}

// parseCoils reads the byte count and the bits of function 15.
func (r *request) parseCoils(data []byte) {
	if r.count < 1 || r.count > 1968 || len(data) != 1+int(data0(data)) || int(data0(data)) != (r.count+7)/8 {
		r.bad = illegalDataValue
		return
	}
	for i := range r.count {
		r.values = append(r.values, uint16(data[1+i/8]>>(i%8)&1))
	}
}

// parseRegisters reads the byte count and the registers of function 16.
func (r *request) parseRegisters(data []byte) {
	if r.count < 1 || r.count > 123 || len(data) != 1+int(data0(data)) || int(data0(data)) != 2*r.count {
		r.bad = illegalDataValue
		return
	}
	for i := range r.count {
		r.values = append(r.values, binary.BigEndian.Uint16(data[1+2*i:]))
	}
}

func data0(data []byte) byte {
	if len(data) == 0 {
		return 0
	}
	return data[0]
}

// answer carries out the PDU and gives the PDU of the answer, and what is to go
// wrong with it.
func (u *Unit) answer(pdu []byte) ([]byte, Fault) {
	r := parse(pdu)
	f := u.fault(r)
	switch {
	case f.Silent:
		return nil, f
	case f.Exception != 0:
		return []byte{r.function | 0x80, f.Exception}, f
	case r.bad != 0:
		return []byte{r.function | 0x80, r.bad}, f
	}
	var code byte
	var out []byte
	switch r.function {
	case 22:
		code = u.mask(r.address, r.and, r.or)
		out = pdu
	case 5, 6, 15, 16:
		code = u.write(r.table, r.address, r.values)
		out = pdu[:5]
	case 23: // it writes before it reads [MB-APP 6.17]
		code = u.write(r.table, r.at, r.values)
	}
	if code == 0 && out == nil {
		var values []uint16
		most := 125
		if r.function <= 2 {
			most = 2000
		}
		values, code = u.read(r.table, r.address, uint16(r.count), most)
		out = readAnswer(r, values[:max(0, len(values)-f.ShortBy)])
	}
	if code != 0 {
		return []byte{r.function | 0x80, code}, f
	}
	return out, f
}

// readAnswer is the PDU with what was read.
func readAnswer(r request, values []uint16) []byte {
	if r.function <= 2 {
		out := make([]byte, 2+(len(values)+7)/8)
		out[0], out[1] = r.function, byte(len(out)-2)
		for i, v := range values {
			if v != 0 {
				out[2+i/8] |= 1 << (i % 8)
			}
		}
		return out
	}
	out := []byte{r.function, byte(2 * len(values))}
	for _, v := range values {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return out
}
