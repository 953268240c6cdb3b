package bridge

import (
	"testing"
	"time"
)

func TestThingsBoardGetsItsGatewayAPI(t *testing.T) {
	at := time.UnixMilli(1795867000000)
	for _, test := range []struct{ topic, payload, remote, want string }{
		{"meter1/power", `{"value":1.5,"unit":"kW","time":"2026-11-28T12:04:05.123Z","quality":"good"}`,
			boardTelemetry, `{"meter1":[{"ts":1795867445123,"values":{"power":1.5}}]}`},
		{"meter1/power", `{"value":null,"time":"2026-11-28T12:04:05.123Z","quality":"bad","reason":"no answer"}`,
			boardTelemetry, `{"meter1":[{"ts":1795867445123,"values":{"power_quality":"bad"}}]}`},
		{"meter1/power", `{"value":1.5,"time":"2026-11-28T12:04:05.123Z","quality":"stale"}`,
			boardTelemetry, `{"meter1":[{"ts":1795867445123,"values":{"power_quality":"stale"}}]}`},
		{"meter1/status", `{"status":"online","time":"2026-11-28T12:04:05.123Z"}`, boardConnect, `{"device":"meter1"}`},
		{"meter1/status", `{"status":"offline","reason":"no answer","time":"2026-11-28T12:04:05.123Z"}`, boardDisconnect, `{"device":"meter1"}`},
		{"hall/meter 1/text", `"say \"ok\""`, boardTelemetry, `{"hall/meter 1":[{"ts":1795867000000,"values":{"text":"say \"ok\""}}]}`},
		{"meter1/power", ` 21.50 `, boardTelemetry, `{"meter1":[{"ts":1795867000000,"values":{"power":21.50}}]}`},
		{"meter1/all", `{"power":1,"deep":{"a":[1]}}`, boardTelemetry, `{"meter1":[{"ts":1795867000000,"values":{"deep":{"a":[1]},"power":1}}]}`},
		{"meter1/power/result", `{"value":7,"quality":9}`, boardTelemetry, `{"meter1/power":[{"ts":1795867000000,"values":{"quality":9,"value":7}}]}`},
		{"meter1/power", `21,5`, "", ""},
		{"meter1/power", ``, "", ""},
		{"meter1/power", `{}`, "", ""},
		{"power", `1`, "", ""},
		{"meter1/", `1`, "", ""},
	} {
		remote, got, ok := encodeBoard(test.topic, []byte(test.payload), at)
		if remote != test.remote || string(got) != test.want || ok != (test.want != "") {
			t.Errorf("%s %s\ngot  %s %s %v\nwant %s %s", test.topic, test.payload, remote, got, ok, test.remote, test.want)
		}
	}
}
