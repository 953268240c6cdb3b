package serial

import "bytes"

// fixedShape is that of messages that are all as long.
type fixedShape int

func (n fixedShape) length([]byte) int           { return int(n) }
func (n fixedShape) around() (before, after int) { return 0, 0 }
func (n fixedShape) moved(int)                   {}

// lengthShape is that of messages that say how long they are.
func lengthShape(cfg Frame) *prefixShape {
	return &prefixShape{at: cfg.LengthAt, bytes: cfg.LengthBytes, lowFirst: cfg.LengthOrder == "BA", add: cfg.LengthAdd}
}

type prefixShape struct {
	at, bytes int
	lowFirst  bool
	add       int
}

func (s *prefixShape) length(b []byte) int {
	end := s.at + s.bytes
	if len(b) < end {
		return 0
	}
	n := int64(0) // four bytes are more than an int of 32 bits holds
	for i := range s.bytes {
		at := s.at + i
		if s.lowFirst {
			at = end - 1 - i
		}
		n = n<<8 | int64(b[at])
	}
	if n += int64(s.add); n < int64(end) {
		return -1
	}
	return int(min(n, 2*largestMaxFrame))
}

func (s *prefixShape) around() (before, after int) { return 0, 0 }
func (s *prefixShape) moved(int)                   {}

// endShape is that of messages between a start and an end, behind which more
// may come.
type endShape struct {
	start, end []byte
	trailer    int  // bytes behind the end, such as a checksum
	again      bool // a start within a message begins another: half of this one is missing
	searched   int  // bytes in which there is no end
}

func (s *endShape) length(b []byte) int {
	from := max(len(s.start), s.searched)
	if from > len(b) {
		return 0
	}
	i := bytes.Index(b[from:], s.end)
	if i < 0 {
		s.searched = max(from, len(b)-len(s.end)+1)
		return 0
	}
	s.searched = from + i
	if s.again && bytes.Contains(b[1:s.searched], s.start) {
		return -1
	}
	return s.searched + len(s.end) + s.trailer
}

func (s *endShape) around() (before, after int) { return len(s.start), len(s.end) + s.trailer }

func (s *endShape) moved(by int) { s.searched = max(0, s.searched-by) }
