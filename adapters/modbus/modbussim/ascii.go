package modbussim

import (
	"bytes"
	"encoding/hex"
	"strings"
)

// maxLine is the longest ASCII frame. [MB-RTU 2.5.2.1]
const maxLine = 513

// takeASCII answers the requests in the buffer, and gives what is left of it.
func (l *line) takeASCII(buffer []byte) ([]byte, bool) {
	for {
		frame, rest, found := bytes.Cut(buffer, []byte("\r\n"))
		if !found {
			return buffer[max(0, len(buffer)-maxLine):], true
		}
		buffer = rest
		frame = frame[bytes.LastIndexByte(frame, ':')+1:]
		b, err := hex.DecodeString(string(frame))
		if err != nil || len(b) < 3 || lrc(b) != 0 {
			continue
		}
		reply, f := l.reply(b[0], b[1:len(b)-1])
		if reply == nil {
			continue
		}
		sum := lrc(reply)
		if f.CorruptCRC {
			sum ^= 0x5a
		}
		l.send([]byte(":"+strings.ToUpper(hex.EncodeToString(append(reply, sum)))+"\r\n"), f)
	}
}

// lrc is what makes the sum of all bytes 0. [MB-RTU 2.5.2.2]
func lrc(b []byte) (sum byte) {
	for _, c := range b {
		sum -= c
	}
	return sum
}
