package main

import (
	"strings"
	"testing"
	"time"

	"headgate/broker/packet"
)

// formatTime is when the messages of these tests come.
func formatTime() time.Time {
	return time.Date(2026, 3, 1, 0, 5, 9, 1_234_567, time.FixedZone("CET", 3600)) // a Sunday
}

func formatMessage() *packet.Publish {
	m := &packet.Publish{QoS: 1, Retain: true, PacketID: 7, Topic: []byte("f/abc"), Payload: []byte("hi")}
	p := &m.Properties
	p.ContentType, p.ResponseTopic, p.CorrelationData = []byte("text"), []byte("r/t"), []byte("cd")
	p.MessageExpiry, p.PayloadFormat, p.TopicAlias = 100, 1, 3
	for _, id := range []packet.PropertyID{packet.PropContentType, packet.PropResponseTopic, packet.PropCorrelationData,
		packet.PropMessageExpiry, packet.PropPayloadFormat, packet.PropTopicAlias} {
		p.Set(id)
	}
	p.SubscriptionIDs = []uint32{5}
	p.User = []packet.UserProperty{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("k2"), Value: []byte("v2")}}
	return m
}

// What is wanted of the fields is what mosquitto_sub 2.0 prints.
func TestAFormatPrintsWhatTheManPageSays(t *testing.T) {
	plain := &packet.Publish{Topic: []byte("f/abc"), Payload: []byte("h\xc3\xa9")}
	for _, c := range []struct {
		m            *packet.Publish
		format, want string
	}{
		{formatMessage(), "%t|%20t|%-20t|%.2t|%5.2t|%-5.2t|%07t", "f/abc|               f/abc|f/abc               |f/|   f/|f/   |  f/abc"},
		{formatMessage(), "%p|%10p|%-10p|%.1p|%010p|%5.1p", "hi|        hi|hi        |hi|00000000hi|   hi"},
		{formatMessage(), "%l|%5l|%05l|%-5l|%-05l|%0-5l|%.3l", "2|    2|00002|2    |2    |2    |2"},
		{formatMessage(), "%m|%5m|%05m|%-5m|%q|%5q|%r|%05r", "7|    7|00007|7    |1|1|1|1"},
		{formatMessage(), "%A|%5A|%05A|%-5A|%C|%10C|%-10C|%.2C|%D|%10D", "3|    3|00003|3    |text|      text|text      |te|cd|cd"},
		{formatMessage(), "%E|%5E|%05E|%F|%5F|%05F|%P|%10P|%R|%10R|%.1R|%S|%5S", "100|  100|00100|1|    1|00001|k:v k2:v2|k:v k2:v2|r/t|       r/t|r|5|    5"},
		{plain, "%A|%5A|%05A|%-5A|%C|%10C|%D|%E|%05E|%F|%P|%R|%S|%5S|%m|%q|%r", "|     |00000|     ||          |||00000|||||     |0|0|0"},
		{plain, "%x|%X|%8x|%-8x|%08X", "68c3a9|68C3A9|  68c3a9|68c3a9  |0068C3A9"},
		{plain, "%%|%5.t|%.0t", "%|     |"},
		{plain, `a\\b\a\e\n\r\t\v\0z`, "a\\b\a\x1b\n\r\t\v\x00z"},
		{plain, "%I|%30I|%-25I|%.5I|%U", "2026-03-01T00:05:09+0100|      2026-03-01T00:05:09+0100|2026-03-01T00:05:09+0100 |2026-|1772319909.001234567"},
		{plain, "@Y-@m-@d @H @M @S @@ @N @s @z @Z @e|@j|@%|@c|@x|@X|@D|@T|@F|@p|@I|@y", "2026-03-01 00 05 09 @ 001234567 1772319909 +0100 CET  1|060|%|Sun Mar  1 00:05:09 2026|03/01/26|00:05:09|03/01/26|00:05:09|2026-03-01|AM|12|26"},
		{plain, "@a|@A|@b|@B|@h|@U|@W|@V|@G|@g|@u|@w|@k|@l|@n|@t|@R|@r|@C|@P|@q", "Sun|Sunday|Mar|March|Mar|09|08|09|2026|26|7|0| 0|12|\n|\t|00:05|12:05:09 AM|20|am|%q"},
		{plain, "no field, %t@", "the format ends with @"},
		{plain, `%t\`, `the format ends with \`},
		{plain, `\q`, `the format has \q`},
		{plain, "a%", "the format ends within a %"},
		{plain, "%5", "the format ends within a %"},
		{plain, "%--5t", "the format has %-"},
		{plain, "%z", "the format has %z"},
		{plain, "%10001t", "more than 10000"},
		{plain, "%.99999999999999999999t", "more than 10000"},
		{plain, "%10000t", strings.Repeat(" ", 9995) + "f/abc"},
	} {
		t.Run(c.format, func(t *testing.T) {
			f, err := parseFormat(c.format)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				return
			}
			got, err := f.append(nil, c.m, formatTime(), false)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %q, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

func TestAMessageIsPrintedAsJSON(t *testing.T) {
	message := func(payload string) *packet.Publish {
		return &packet.Publish{Topic: []byte("a/b"), Payload: []byte(payload)}
	}
	const head = `{"tst":"2026-03-01T00:05:09.001234+0100","topic":"a/b","qos":0,"retain":0,"payloadlen":`
	for name, c := range map[string]struct {
		m      *packet.Publish
		format string
		pretty bool
		want   string
	}{
		"text":            {message(`say "é"`), "%j", false, head + `8,"payload":"say \"é\""}`},
		"control":         {message("\x00\x1f\x7f\\/\b\f\n\r\t"), "%j", false, head + `10,"payload":"\u0000\u001f` + "\x7f" + `\\/\b\f\n\r\t"}`},
		"no UTF-8":        {message("\xff<&>"), "%j", false, head + `4,"payload":"` + "\ufffd" + `<&>"}`},
		"nothing":         {message(""), "%J", false, head + `0,"payload":null}`},
		"JSON":            {message(` { "a": 1.50, "b":[ 1,[],{},"x" ], "a": null,"c":true}`), "%J", false, head + `54,"payload":{"a":1.50,"b":[1,[],{},"x"],"a":null,"c":true}}`},
		"JSON, a number":  {message("12345678901234567890"), "%J", false, head + `20,"payload":12345678901234567890}`},
		"JSON is it not":  {message(`{"a": x`), "%J", false, "the payload is not valid JSON"},
		"twice JSON":      {message(`1 2`), "%J", false, "the payload is not valid JSON"},
		"with properties": {formatMessage(), "%j", false, `{"tst":"2026-03-01T00:05:09.001234+0100","topic":"f/abc","qos":1,"retain":1,"payloadlen":2,"mid":7,"properties":{"payload-format-indicator":1,"message-expiry-interval":100,"content-type":"text","response-topic":"r/t","correlation-data":"cd","subscription-identifier":5,"topic-alias":3,"user-properties":{"k":"v","k2":"v2"}},"payload":"hi"}`},
		"pretty": {message(`{"a":[1,{"b":2}],"c":{}}`), "%J", true, "{\n\t\"tst\":\t\"2026-03-01T00:05:09.001234+0100\",\n\t\"topic\":\t\"a/b\",\n\t\"qos\":\t0,\n\t\"retain\":\t0,\n\t\"payloadlen\":\t24,\n" +
			"\t\"payload\":\t{\n\t\t\"a\":\t[1, {\n\t\t\t\t\"b\":\t2\n\t\t\t}],\n\t\t\"c\":\t{\n\t\t}\n\t}\n}"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parseFormat(c.format)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.append(nil, c.m, formatTime(), c.pretty)
			if err != nil {
				got = []byte(err.Error())
			}
			if string(got) != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
