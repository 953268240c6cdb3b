package format

import (
	"errors"
	"fmt"
	"math"
	"text/template"
	"text/template/parse"
	"time"

	"headgate/gateway/point"
)

// maxTemplateBytes bounds what a template makes of one sample.
const maxTemplateBytes = 64 << 10

var errTemplateLong = fmt.Errorf("more than %d bytes come of it", maxTemplateBytes)

// textTemplate is a template that has been tried.
type textTemplate struct{ text *template.Template }

// fields are what a template sees.
type fields struct {
	Gateway, Device, Point, Topic string
	Value                         any // bool, number, int64, uint64, string, or nil where it is bad
	Unit                          string
	Time                          time.Time
	Quality, Reason               string
	Synced                        bool
}

// number is any number that a float64 holds exactly; it reads as in JSON.
type number float64

// String gives it without an exponent where that is not needed.
func (n number) String() string { return string(point.OfFloat(float64(n)).AppendJSON(nil)) }

// parseTemplate reads a template and tries it with a number that is good and one
// that is bad. It has no loops: in a sample there is nothing to go through, and so
// it always ends.
func parseTemplate(s string) (*textTemplate, error) {
	t, err := template.New("template").Option("missingkey=error").Funcs(template.FuncMap{"json": toJSON}).Parse(s)
	if err != nil {
		return nil, err
	}
	for _, one := range t.Templates() {
		if err := refuseLoops(one.Root); err != nil {
			return nil, err
		}
	}
	parsed := &textTemplate{t}
	at := time.Date(2026, 11, 23, 18, 4, 5, 123e6, time.UTC)
	for _, s := range []point.Sample{
		{Point: "voltage", Value: point.OfFloat(231.4), Unit: "V", Time: at},
		{Point: "voltage", Unit: "V", Time: at, Quality: point.Bad, Reason: "no answer"},
	} {
		_, err := parsed.append(nil, &Sample{Origin: Origin{Gateway: "gateway", Device: "meter1", Topic: "gateway/meter1/voltage"}, Sample: s})
		if err != nil && err != ErrNothing {
			return nil, fmt.Errorf("of a sample of quality %v: %w", s.Quality, err)
		}
	}
	return parsed, nil
}

// refuseLoops finds a range, and one template in another, which could call itself.
func refuseLoops(n parse.Node) error {
	var err error
	branch := func(b *parse.BranchNode) error {
		err := refuseLoops(b.List)
		if err == nil && b.ElseList != nil {
			err = refuseLoops(b.ElseList)
		}
		return err
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, one := range n.Nodes {
			if err == nil {
				err = refuseLoops(one)
			}
		}
	case *parse.IfNode:
		err = branch(&n.BranchNode)
	case *parse.WithNode:
		err = branch(&n.BranchNode)
	case *parse.RangeNode:
		err = errors.New("{{range}}: a sample has nothing to go through")
	case *parse.TemplateNode:
		err = fmt.Errorf("{{template %q}}: want one template only", n.Name)
	}
	return err
}

// append appends to dst what comes of a sample; on an error that is as it was.
func (t *textTemplate) append(dst []byte, s *Sample) ([]byte, error) {
	var out bounded
	err := t.text.Execute(&out, fields{
		Gateway: s.Gateway, Device: s.Device, Point: s.Point, Topic: s.Topic,
		Value: plainValue(s.Value), Unit: s.Unit, Time: s.Time.UTC(),
		Quality: s.Quality.String(), Reason: briefly(s.Reason), Synced: !s.Unsynced,
	})
	switch {
	case errors.Is(err, errTemplateLong):
		return dst, errTemplateLong
	case err != nil:
		return dst, err
	case len(out) == 0:
		return dst, ErrNothing
	}
	return append(dst, out...), nil
}

func plainValue(v point.Value) any {
	switch v.Kind() {
	case point.None:
		return nil
	case point.Bool:
		on, _ := v.Bool()
		return on
	case point.String:
		return v.String()
	}
	f, _ := v.Float()
	if math.Abs(f) < 1<<53 || v.Kind() == point.Float {
		return number(f)
	}
	if i, ok := v.Int(); ok {
		return i
	}
	u, _ := v.Uint()
	return u
}

// toJSON is the function of templates that writes JSON.
func toJSON(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "null", nil
	case bool:
		return string(point.OfBool(v).AppendJSON(nil)), nil
	case number:
		return v.String(), nil
	case int:
		return string(point.OfInt(int64(v)).AppendJSON(nil)), nil
	case int64:
		return string(point.OfInt(v).AppendJSON(nil)), nil
	case uint64:
		return string(point.OfUint(v).AppendJSON(nil)), nil
	case float64:
		return string(point.OfFloat(v).AppendJSON(nil)), nil
	case string:
		return string(AppendString(nil, v)), nil
	case time.Time:
		return string(AppendTime(nil, v)), nil
	}
	return "", fmt.Errorf("json of a %T: want a field of the sample", v)
}

// bounded is a writer into memory, of at most maxTemplateBytes.
type bounded []byte

func (b *bounded) Write(p []byte) (int, error) {
	if len(*b)+len(p) > maxTemplateBytes {
		return 0, errTemplateLong
	}
	*b = append(*b, p...)
	return len(p), nil
}
