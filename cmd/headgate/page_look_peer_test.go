package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"headgate/adapters/modbus/modbussim"
	"headgate/bridge/faultnet"
)

// needAxe gives the script of axe-core, which finds what keeps people from using a
// page.
func needAxe(t *testing.T) (script string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(os.Getenv("HEADGATE_NODE_MODULES"), "axe-core", "axe.min.js"))
	if err != nil {
		const hint = "axe-core is missing: npm install axe-core, and HEADGATE_NODE_MODULES names where it is"
		if os.Getenv("HEADGATE_PEERS") == "required" {
			t.Fatal(hint)
		}
		t.Skip(hint)
	}
	return string(text)
}

// judge fails the test for each thing on the page that axe calls serious or worse.
func (b *browser) judge(where, axe string) {
	b.t.Helper()
	var faults []string
	awaited := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	b.do(chromedp.Evaluate(axe+"; undefined", nil), chromedp.Evaluate(`
		axe.run(document, {resultTypes: ['violations']}).then(r => r.violations
			.flatMap(v => v.nodes.filter(n => n.impact === 'serious' || n.impact === 'critical')
				.map(n => v.id + ': ' + v.help + ': ' + n.html.slice(0, 200) + ' ' + n.any.concat(n.all, n.none).map(c => c.message).join('; '))))`, &faults, awaited))
	for _, f := range faults {
		b.t.Errorf("%s: %s", where, f)
	}
}

// eachView opens one view after the other.
func (b *browser) eachView(do func(name string)) {
	b.t.Helper()
	for _, name := range []string{"Flow", "Devices", "Topics", "Clients", "Uplinks", "Store", "Log", "Config"} {
		b.view(name)
		do(strings.ToLower(name))
	}
}

// shape makes the window a phone's or a desktop's, light or dark.
func (b *browser) shape(width int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 800), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

func TestNobodyIsKeptFromUsingThePage(t *testing.T) {
	t.Parallel()
	needChromium(t)
	axe := needAxe(t)
	p := newPlant(t)
	link, err := faultnet.Listen("127.0.0.1:0", p.cloud.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	h := runInside(t, p.config(link.Addr())+webTable())
	eventually(t, "the page is there", func() bool { return h.web.Address() != "" })
	h.reloader = h.newReloader(h.config.Paths[0])
	c := dial(t, h.broker.Addresses()[0], "panel")
	c.subscribe("hello/#", 1)
	b := openBrowser(t)
	b.do(chromedp.Navigate(h.web.Address()), chromedp.WaitVisible("input[name=user]", chromedp.ByQuery))
	b.judge("the login", axe)
	b.do(chromedp.SendKeys("input[name=user]", "otto", chromedp.ByQuery), chromedp.SendKeys("input[name=password]", "wrong", chromedp.ByQuery))
	b.press("Log in")
	b.says(".said", "wrong user name or password")
	b.judge("a wrong password", axe)
	b.picture("login-wrong")
	b.login(h, "anna")
	b.says(".allwell", "Everything flows.")
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 360} {
			b.shape(width, scheme)
			b.eachView(func(name string) {
				where := fmt.Sprintf("%s, %s, %d wide", name, scheme, width)
				b.wait(where+" fits", fmt.Sprintf("document.documentElement.scrollWidth <= %d", width))
				b.judge(where, axe)
				b.picture(fmt.Sprintf("%s-%s-%d", name, scheme, width))
			})
		}
		b.view("Devices")
		b.press("limit ✎")
		b.wait("the plot is drawn", "document.querySelector('dialog .plot').childElementCount > 0")
		b.judge("a point, "+scheme, axe)
		b.picture("point-" + scheme)
		b.press("Close")
	}
	link.Cut()
	b.view("Flow")
	b.says(".troubles", "cloud has had no upstream for")
	b.judge("the uplink is cut", axe)
	b.picture("cut-dark-360")
}

func TestAPageWithoutADeviceSaysWhatToDo(t *testing.T) {
	t.Parallel()
	needChromium(t)
	h := runInside(t, "[gateway]\nid = \"new\"\ndata_dir = \""+t.TempDir()+"\"\n"+webTable())
	eventually(t, "the page is there", func() bool { return h.web.Address() != "" })
	b := openBrowser(t)
	b.login(h, "otto")
	b.says(".first", h.config.Paths[0])
	b.says(".first", "headgate modbus scan")
	b.wait("nobody is told that all is well", "!document.querySelector('.allwell').checkVisibility()")
	b.eachView(func(name string) {
		for view, says := range map[string]string{"devices": "add a [[modbus]] or [[serial]] table", "uplinks": "add a [[bridge]] table", "clients": "Nobody is connected"} {
			if name == view {
				b.says("p", says)
			}
		}
		b.picture("empty-" + name)
	})
}

// A plant with more devices than anybody counts, some of whose names are as long as
// they may be.
func TestThreeHundredDevicesFitThePage(t *testing.T) {
	t.Parallel()
	needChromium(t)
	var s strings.Builder
	fmt.Fprintf(&s, "[gateway]\nid = %q\ndata_dir = %q\n[[modbus]]\nname = %q\nurl = \"tcp://127.0.0.1:1\"\n", strings.Repeat("boiler-house-", 4)+"x", t.TempDir(), strings.Repeat("switchboard-", 4)+"x")
	for i := range 300 {
		name := fmt.Sprintf("meter-%03d", i)
		if i == 0 {
			name = strings.Repeat("thermal-oil-heater-", 6) + "end"
		}
		fmt.Fprintf(&s, "[[modbus.device]]\nname = %q\nunit = %d\n[[modbus.device.point]]\nname = \"power\"\nregister = \"holding:0\"\nunit = \"kW\"\n[[modbus.device.point]]\nname = %q\nregister = \"holding:1\"\n", name, i%247+1, strings.Repeat("supply-temperature-", 4)+"end")
	}
	h := runInside(t, s.String()+webTable())
	eventually(t, "the page is there", func() bool { return h.web.Address() != "" })
	b := openBrowser(t)
	b.login(h, "otto")
	b.says(".troubles", "and 297 more")
	b.wait("one link that is down is one trouble", "document.querySelectorAll('.troubles li').length === 1")
	for _, width := range []int64{1280, 360} {
		b.shape(width, "light")
		b.eachView(func(name string) {
			if name == "devices" {
				b.wait("all devices are there", "document.querySelectorAll('section.device').length === 300")
			}
			b.wait(name+" fits", fmt.Sprintf("document.documentElement.scrollWidth <= %d", width))
			b.picture(fmt.Sprintf("many-%s-%d", name, width))
		})
	}
}

// What the page shows of a gateway that has gone is old, and does not look as if it
// were live.
func TestThePageOfAGatewayThatHasGoneSaysSo(t *testing.T) {
	t.Parallel()
	needChromium(t)
	p := newPlant(t)
	address := quietAddress(t)
	headgate := runHeadgate(t, strings.Replace(p.config(p.cloud.Addr)+webTable(), "listen = \"127.0.0.1:0\"", "listen = \""+address+"\"", 1))
	b := openBrowser(t)
	b.loginAt(headgate.page(), "otto")
	b.says(".allwell", "Everything flows.")
	headgate.kill()
	b.says("#live", "no connection since")
	b.wait("it looks old", "document.querySelector('main').classList.contains('old')")
	b.picture("gone")
	headgate.start()
	b.says("h1", "Log in") // the logins are not kept
	b.loginAt(headgate.page(), "otto")
	b.says("#live", "live")
	b.wait("it looks live", "!document.querySelector('main').classList.contains('old')")
}

func TestThePageSaysWhyAValueIsBadAndHowALinkIs(t *testing.T) {
	t.Parallel()
	needChromium(t)
	p := newPlant(t)
	h := runPage(t, p)
	b := openBrowser(t)
	b.login(h, "anna")
	b.view("Devices")
	b.says("section[aria-label='Link roof']", "open")
	b.says("section[aria-label='Link rs485']", "1 device")
	b.says("section[aria-label=meter]", "A poll takes")
	// In the background it does not listen; when it is seen again it is up to date.
	const hide = `Object.defineProperty(document, 'hidden', {configurable: true, value: %t}); document.dispatchEvent(new Event('visibilitychange'))`
	b.do(chromedp.Evaluate(fmt.Sprintf(hide, true), nil))
	p.meter.SetInput(0, float32Words(229.5)...)
	b.do(chromedp.Evaluate(fmt.Sprintf(hide, false), nil))
	b.says("td.value", "229.5 V")
	mend := p.inverter.Inject(modbussim.Fault{Table: modbussim.HoldingRegisters, Address: 200, Count: 1, Exception: 4})
	b.says("section[aria-label=inverter] .why", "exception 4")
	b.picture("why")
	mend()
	b.wait("it is good again", "[...document.querySelectorAll('.why')].every(e => e.innerText === '')")
	p.meter.Inject(modbussim.Fault{Silent: true})
	b.says("section[aria-label=meter] .pill", "silent")
	b.says("section[aria-label=meter]", "without an answer")
	b.says("section[aria-label='Link rs485']", "open") // the line is

	// By the keyboard alone.
	const point = "document.querySelector('section[aria-label=inverter] .name')"
	b.do(chromedp.Evaluate(point+".focus()", nil), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("dialog", chromedp.ByQuery), chromedp.KeyEvent(kb.Escape))
	b.wait("the focus is where it was", "!document.querySelector('dialog') && document.activeElement === "+point)
}

// A page that is open while devices change shows each value under its own name.
func TestAReloadMakesThePagesDevicesNew(t *testing.T) {
	t.Parallel()
	needChromium(t)
	p := newPlant(t)
	h := runPage(t, p)
	h.reloader = h.newReloader(h.config.Paths[0])
	b := openBrowser(t)
	b.login(h, "anna")
	b.view("Devices")
	b.says("section[aria-label=inverter] td.value", "-1000 W")
	text, err := os.ReadFile(h.reloader.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{`name = "inverter"`, `name = "roof7"`}, {`name = "door"`, `name = "gate"`}} {
		if !strings.Contains(string(text), change[0]) {
			t.Fatalf("the configuration has no %s", change[0])
		}
		text = []byte(strings.Replace(string(text), change[0], change[1], 1))
	}
	if err := os.WriteFile(h.reloader.path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.reloader.reload(); err != nil {
		t.Fatal(err)
	}
	b.says("section[aria-label=roof7] td.value", "-1000 W")
	b.says("section[aria-label=roof7] .name", "gate")
	b.wait("the old device is gone", "document.querySelector('section[aria-label=inverter]') === null")

	b.view("Config")
	b.says("pre", `name = "roof7"`)
	b.says(".said", "The file on disk is good")
	if err := os.WriteFile(h.reloader.path, append(text, "\n[[bridg]]\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	b.press("Check the file")
	b.says(".said", "a reload would not take it")
	b.says(".troubles .bad, .troubles li", "did you mean bridge?")
	b.press("Reload")
	b.says(".said", "Not reloaded, what runs goes on")
	b.picture("config-faulty")
	if err := os.WriteFile(h.reloader.path, []byte(strings.Replace(string(text), `name = "gate"`, `name = "door"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.press("Check the file")
	b.says(".said", "but it is not what runs: reload it.")
	b.press("Reload")
	b.says(".said", "links and devices that were changed have started again")
	b.says("pre", `name = "door"`)
}

func TestDerivedPointsAndAlarmsAreOnThePage(t *testing.T) {
	t.Parallel()
	needChromium(t)
	p := newPlant(t)
	text := p.config(p.cloud.Addr) + webTable() + "[[derived]]\nname = \"house\"\n" +
		"[[derived.point]]\nname = \"double\"\nexpr = \"meter.voltage * 2\"\nunit = \"V\"\n" +
		"[[derived.alarm]]\nname = \"too_high\"\nwhen = \"meter.voltage > 240\"\nmessage = \"the voltage is too high\"\n"
	h := runInside(t, text)
	eventually(t, "the page is there", func() bool { return h.web.Address() != "" })
	b := openBrowser(t)
	b.login(h, "otto")
	b.says(".allwell", "Everything flows.")
	b.view("Devices")
	b.says("section[aria-label=house] td.value", "463 V")
	b.press("double")
	b.says("dialog", "= meter.voltage * 2")
	b.picture("derived")
	b.press("Close")
	b.view("Flow")
	p.meter.SetInput(0, float32Words(250)...)
	b.says(".troubles", "The voltage is too high")
	b.picture("alarm")
	p.meter.SetInput(0, float32Words(231.5)...)
	b.says(".allwell", "Everything flows.")
	b.view("Devices")
	p.meter.Inject(modbussim.Fault{Silent: true})
	b.says("section[aria-label=house] .why", "meter")
	b.picture("derived-stale")
}
