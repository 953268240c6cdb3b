package modbussim

import "encoding/binary"

// maxFrame is the longest RTU frame. [MB-RTU 2.5.1]
const maxFrame = 256

// takeRTU answers the requests in the buffer, and gives what is left of it.
func (l *line) takeRTU(buffer []byte) ([]byte, bool) {
	for start := 0; start < len(buffer); {
		frame := requestAt(buffer[start:])
		if frame == nil {
			start++
			continue
		}
		l.answerRTU(frame)
		buffer = buffer[start+len(frame):]
		start = 0
	}
	return buffer[max(0, len(buffer)-maxFrame):], true
}

// requestAt gives the whole request that b begins with, nil if it begins with none.
func requestAt(b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	length := len(b) // of a function that is not known: all there is
	switch b[1] {
	case 1, 2, 3, 4, 5, 6:
		length = 8
	case 15, 16:
		if len(b) < 7 {
			return nil
		}
		length = 9 + int(b[6])
	case 22:
		length = 10
	case 23:
		if len(b) < 11 {
			return nil
		}
		length = 13 + int(b[10])
	}
	if length > len(b) || length > maxFrame || binary.LittleEndian.Uint16(b[length-2:]) != checksum(b[:length-2]) {
		return nil
	}
	return b[:length]
}

func (l *line) answerRTU(frame []byte) {
	reply, f := l.reply(frame[0], frame[1:len(frame)-2])
	if reply == nil {
		return
	}
	sum := checksum(reply)
	if f.CorruptCRC {
		sum ^= 0x5a5a
	}
	l.send(binary.LittleEndian.AppendUint16(reply, sum), f)
}

// reply has a unit answer, and gives its id and the PDU of the answer; nil for
// a message to all, and for a unit that is silent.
func (l *line) reply(id byte, pdu []byte) ([]byte, Fault) {
	if id == 0 {
		l.broadcast(pdu)
		return nil, Fault{}
	}
	u := l.server.lookup(id)
	if u == nil {
		return nil, Fault{}
	}
	out, f := u.answer(pdu)
	if out == nil {
		return nil, f
	}
	return append([]byte{id}, out...), f
}

// broadcast has every unit carry out a write; none answers. [MB-RTU 2.1]
func (l *line) broadcast(pdu []byte) {
	l.server.mu.Lock()
	var units []*Unit
	for _, u := range l.server.units {
		units = append(units, u)
	}
	l.server.mu.Unlock()
	for _, u := range units {
		if parse(pdu).writes {
			u.answer(pdu)
		}
	}
}

// checksum is the CRC of RTU, whose low byte is sent first. [MB-RTU 2.5.1.2]
func checksum(b []byte) uint16 {
	sum := uint16(0xffff)
	for _, c := range b {
		sum ^= uint16(c)
		for range 8 {
			odd := sum&1 != 0
			sum >>= 1
			if odd {
				sum ^= 0xa001
			}
		}
	}
	return sum
}
