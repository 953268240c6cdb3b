package bridge

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestInventedDevicesAreNotKeptForWhatIsBad(t *testing.T) {
	t.Parallel()
	n := &node{drainer: &drainer{session: &session{}}, edge: &edgeNode{aliases: map[string]map[string]uint64{}}, devices: map[string]*nodeDevice{}}
	for i := range 100 {
		n.value(&Outgoing{PacketID: uint16(i + 1)}, fmt.Sprint(i), "p", FieldSample{Quality: QualityBad, Time: time.Now()})
	}
	if len(n.devices) != 0 || len(n.fences.behind) != 100 {
		t.Errorf("%d devices are kept, %d messages are told", len(n.devices), len(n.fences.behind))
	}
}

func TestNamesOfMetricsAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	e := &edgeNode{aliases: map[string]map[string]uint64{}}
	long, kept := strings.Repeat("x", 60_000), 0
	for i := range 1000 {
		if _, ok := e.alias(fmt.Sprint(i), long); ok {
			kept += len(long)
		}
	}
	if kept == 0 || kept > maxNodeNames {
		t.Errorf("%d bytes are kept, want at most %d", kept, maxNodeNames)
	}
	if alias, ok := e.alias("0", long); !ok || alias != 1 {
		t.Errorf("what was known has %d, %v", alias, ok)
	}
}
