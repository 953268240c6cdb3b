package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"headgate/adapters/modbus"
	"headgate/gateway/point"
)

// modbusReadCmd reads.
type modbusReadCmd struct {
	modbusUnit
	modbusValue
	Register string `arg:"" help:"Table and 0-based address of the first one: holding:100, input:0, coil:3, discrete:0."`
	Count    int    `arg:"" optional:"" help:"How many; 1 if left out, with --as as many as the type takes, 4 with --as all."`
	As       string `placeholder:"TYPE" help:"Print the value of this type: u16, f32, string ...; \"all\": each that it may be, with the line for a configuration."`
}

// Run reads and prints.
func (c *modbusReadCmd) Run(k *kong.Kong) error {
	ctx, stop := untilStopped()
	defer stop()
	var format modbus.Format
	if c.As != "" && c.As != "all" {
		var err error
		if format, err = c.format(c.Register, c.As, "r"); err != nil {
			return err
		}
	}
	a, _, unit, err := c.openUnit(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	r := modbus.Request{Unit: unit, Register: c.Register, Count: max(c.Count, 1), Timeout: c.Timeout}
	switch {
	case c.As == "all" && c.Count == 0:
		r.Count = 4
	case c.As != "" && c.As != "all":
		r = format.Read(unit)
	}
	answer, err := a.Do(ctx, r)
	if err != nil {
		return err
	}
	switch c.As {
	case "":
		printRegisters(k.Stdout, r, answer)
	case "all":
		printInterpretations(k.Stdout, r, answer.Data)
	default:
		v, err := format.Decode(answer.Data)
		if err != nil {
			return err
		}
		fmt.Fprintln(k.Stdout, v)
	}
	return nil
}

// manualNumber is what many manuals call an address: 40101 for holding:100. Above
// 9999 it has six digits.
func manualNumber(table string, address uint64) string {
	digit := map[string]int{"coil": 0, "discrete": 1, "input": 3, "holding": 4}[table]
	if address < 9999 {
		return fmt.Sprintf("%d%04d", digit, address+1)
	}
	return fmt.Sprintf("%d%05d", digit, address+1)
}

// printRegisters prints one register a line: address and number in manuals, bits,
// and the number without and with a sign; or one bit.
func printRegisters(w io.Writer, r modbus.Request, a modbus.Answer) {
	table, number, _ := strings.Cut(strings.ToLower(r.Register), ":")
	table = strings.TrimSpace(table)
	first, _ := strconv.ParseUint(strings.TrimSpace(number), 0, 16) // it was good enough for the unit
	fmt.Fprintf(w, "unit %d answered in %v\n", r.Unit, a.Took.Round(100*time.Microsecond))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i := range r.Count {
		address := first + uint64(i)
		name := fmt.Sprintf("%s:%d\t%s", table, address, manualNumber(table, address))
		if table == "coil" || table == "discrete" {
			fmt.Fprintf(t, "%s\t%d\t\n", name, a.Data[i/8]>>(i%8)&1)
			continue
		}
		v := binary.BigEndian.Uint16(a.Data[2*i:])
		fmt.Fprintf(t, "%s\t0x%04x\t%d\t", name, v, v)
		if int16(v) < 0 {
			fmt.Fprint(t, int16(v))
		}
		fmt.Fprintln(t, "\t")
	}
	t.Flush()
}

func printInterpretations(w io.Writer, r modbus.Request, data []byte) {
	all := modbus.Interpretations(r, data)
	if len(all) == 0 {
		fmt.Fprintln(w, "bits are bits: there is nothing else that they could be")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, i := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", i.Type, i.Order, i.Value, i.Point)
	}
	t.Flush()
}

// modbusWriteCmd writes.
type modbusWriteCmd struct {
	modbusUnit
	modbusValue
	Register string `arg:"" help:"Table and 0-based address: holding:100 or coil:3."`
	Value    string `arg:"" help:"A number, true, false, or a text."`
	As       string `placeholder:"TYPE" help:"The type: i16, f32, string ...; u16 if left out."`
}

// Run writes, reads back and prints what is there then.
func (c *modbusWriteCmd) Run(k *kong.Kong) error {
	ctx, stop := untilStopped()
	defer stop()
	format, err := c.format(c.Register, c.As, "rw")
	if err != nil {
		return err
	}
	value, err := point.ParseJSON([]byte(c.Value))
	if err != nil {
		value = point.OfString(c.Value)
	}
	write, err := format.Write(0, value)
	if err != nil {
		return err
	}
	a, _, unit, err := c.openUnit(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	write.Unit = unit
	if _, err := a.Do(ctx, write); err != nil {
		return err
	}
	answer, err := a.Do(ctx, format.Read(unit))
	if err != nil {
		return fmt.Errorf("it was written, but reading it back failed: %w", err)
	}
	v, err := format.Decode(answer.Data)
	if err != nil {
		return fmt.Errorf("it was written, but reads back as no value: %w", err)
	}
	fmt.Fprintln(k.Stdout, v)
	return nil
}
