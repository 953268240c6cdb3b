package homeassistant

import "headgate/gateway/point"

// class is what Home Assistant makes of a unit of measure.
type class struct {
	device string // device class
	state  string // state class
	unit   string // as Home Assistant writes it, where that differs from ours
}

const (
	measurement = "measurement"
	increasing  = "total_increasing"
)

// units are the units of measure that say of themselves what is measured. A unit
// that Home Assistant does not know with a device class must not stand beside it, or
// the entity is refused; so what is not here gets no device class. Percentages can be
// anything. [developers.home-assistant.io/docs/core/entity/sensor, "Available device classes"]
var units = map[string]class{
	"V": {"voltage", measurement, ""}, "mV": {"voltage", measurement, ""}, "kV": {"voltage", measurement, ""},
	"A": {"current", measurement, ""}, "mA": {"current", measurement, ""},
	"W": {"power", measurement, ""}, "kW": {"power", measurement, ""}, "MW": {"power", measurement, ""},
	"VA": {"apparent_power", measurement, ""}, "kVA": {"apparent_power", measurement, ""},
	"var": {"reactive_power", measurement, ""}, "kvar": {"reactive_power", measurement, ""},
	"VAr": {"reactive_power", measurement, "var"}, "kVAr": {"reactive_power", measurement, "kvar"},
	"Wh": {"energy", increasing, ""}, "kWh": {"energy", increasing, ""}, "MWh": {"energy", increasing, ""},
	"MJ": {"energy", increasing, ""}, "GJ": {"energy", increasing, ""},
	"varh": {"reactive_energy", increasing, ""}, "kvarh": {"reactive_energy", increasing, ""},
	"VArh": {"reactive_energy", increasing, "varh"}, "kVArh": {"reactive_energy", increasing, "kvarh"},
	"Hz": {"frequency", measurement, ""}, "kHz": {"frequency", measurement, ""},
	"°C": {"temperature", measurement, ""}, "C": {"temperature", measurement, "°C"}, "degC": {"temperature", measurement, "°C"},
	"°F": {"temperature", measurement, ""}, "K": {"temperature", measurement, ""},
	"bar": {"pressure", measurement, ""}, "mbar": {"pressure", measurement, ""}, "Pa": {"pressure", measurement, ""},
	"hPa": {"pressure", measurement, ""}, "kPa": {"pressure", measurement, ""}, "psi": {"pressure", measurement, ""},
	"m³": {"volume", increasing, ""}, "m3": {"volume", increasing, "m³"}, "L": {"volume", increasing, ""}, "l": {"volume", increasing, "L"},
	"m³/h": {"volume_flow_rate", measurement, ""}, "m3/h": {"volume_flow_rate", measurement, "m³/h"},
	"L/min": {"volume_flow_rate", measurement, ""}, "l/min": {"volume_flow_rate", measurement, "L/min"},
	"g": {"weight", measurement, ""}, "kg": {"weight", measurement, ""}, "t": {"", measurement, ""},
	"mm": {"distance", measurement, ""}, "cm": {"distance", measurement, ""}, "m": {"distance", measurement, ""}, "km": {"distance", measurement, ""},
	"m/s": {"speed", measurement, ""}, "km/h": {"speed", measurement, ""}, "mm/s": {"speed", measurement, ""},
	"ms": {"duration", measurement, ""}, "s": {"duration", measurement, ""}, "min": {"duration", measurement, ""},
	"h": {"duration", measurement, ""}, "d": {"duration", measurement, ""},
	"lx": {"illuminance", measurement, ""}, "W/m²": {"irradiance", measurement, ""}, "W/m2": {"irradiance", measurement, "W/m²"},
	"dBm": {"signal_strength", measurement, ""},
	"%RH": {"humidity", measurement, "%"}, "%rH": {"humidity", measurement, "%"}, "% RH": {"humidity", measurement, "%"},
}

// classOf is what becomes of a number with that unit; one without a unit, or with one
// that is not known, is measured, too.
func classOf(info *point.Info) class {
	c, known := units[info.Unit]
	if !known && (info.Unit != "" || info.Kind == point.Float) {
		c.state = measurement
	}
	if c.unit == "" {
		c.unit = info.Unit
	}
	return c
}
