package modbus

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// Who announces the points elsewhere must know what they can be.
func TestAPointSaysWhatItsValuesCanBe(t *testing.T) {
	t.Parallel()
	number := func(f float64) *float64 { return &f }
	cases := []struct {
		name string
		p    Point
		want point.Info
	}{
		{"a whole number", Point{Register: "holding:0", Access: "rw"},
			point.Info{Writable: true, Kind: point.Uint, Min: number(0), Max: number(65535), Step: 1}},
		{"with a sign and a scale", Point{Register: "holding:0", Type: "i16", Number: scaled(0.1, 0)},
			point.Info{Kind: point.Float, Min: number(-3276.8), Max: number(3276.7), Step: 0.1}},
		{"turned round", Point{Register: "holding:0", Type: "i16", Number: scaled(-2, 10)},
			point.Info{Kind: point.Int, Min: number(-65524), Max: number(65546), Step: 2}},
		{"decimal digits", Point{Register: "holding:0", Type: "bcd16"}, point.Info{Kind: point.Uint, Min: number(0), Max: number(9999), Step: 1}},
		{"a part", Point{Register: "holding:0", Bits: "4:3"}, point.Info{Kind: point.Uint, Min: number(0), Max: number(7), Step: 1}},
		{"bounds of the config", Point{Register: "holding:0", Number: within(5, 30)},
			point.Info{Kind: point.Uint, Min: number(5), Max: number(30), Bounded: true, Step: 1}},
		{"a float", Point{Register: "holding:0", Type: "f32"}, point.Info{Kind: point.Float}},
		{"a coil that is only written", Point{Register: "coil:0", Access: "w"}, point.Info{Writable: true, WriteOnly: true, Kind: point.Bool}},
		{"texts", Point{Register: "holding:0", Type: "i16", Enum: map[string]string{"0": "off", "-1": "fault", "1": "on", "2": "on"}},
			point.Info{Kind: point.String, Texts: []string{"fault", "off", "on"}}},
		{"a text", Point{Register: "holding:0", Type: "string", Length: 8}, point.Info{Kind: point.String, Length: 8}},
		{"a time", Point{Register: "holding:0", Type: "epoch32"}, point.Info{Kind: point.String, Time: true}},
		{"a power of ten in a register", Point{Register: "holding:0", Exponent: "holding:1"}, point.Info{Kind: point.Float, Min: number(0), Max: number(65535)}},
	}
	cfg := Config{Name: "link", URL: "tcp://127.0.0.1:1", Device: []Device{{Name: "d", Manufacturer: "ACME", Model: "M1", Interval: 7 * time.Second}}}
	for _, c := range cases {
		c.p.Name = c.name
		cfg.Device[0].Point = append(cfg.Device[0].Point, c.p)
	}
	cfg.SetDefaults()
	a, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d := a.Devices()[0]
	if d.Manufacturer != "ACME" || d.Model != "M1" {
		t.Errorf("got %q %q", d.Manufacturer, d.Model)
	}
	for i, c := range cases {
		c.want.Name, c.want.Interval = c.name, 7*time.Second
		if diff := cmp.Diff(c.want, d.Points[i]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func scaled(scale, offset float64) datatype.Number {
	return datatype.Number{Scale: scale, Offset: offset}
}
func within(low, high float64) datatype.Number { return datatype.Number{Min: &low, Max: &high} }
