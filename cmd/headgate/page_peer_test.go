package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"headgate/bridge/faultnet"
	"headgate/broker"
)

// needChromium skips a test without Chromium, or fails it where peers are required.
func needChromium(t *testing.T) (path string) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		const hint = "chromium is missing: apt-get install chromium"
		if os.Getenv("HEADGATE_PEERS") == "required" {
			t.Fatal(hint)
		}
		t.Skip(hint)
	}
	return path
}

// browser is a Chromium without a window. What the page's scripts complain of fails
// the test.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(needChromium(t)), chromedp.NoSandbox, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	b := &browser{t, ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("a script failed: %s", e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			if e.Entry.Source == log.SourceSecurity || strings.Contains(e.Entry.Text, "Content Security Policy") {
				t.Errorf("the page breaks its own rules: %s", e.Entry.Text)
			}
		}
	})
	b.do(log.Enable())
	return b
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		var text string
		chromedp.Run(b.ctx, chromedp.Evaluate("document.body.innerText", &text))
		b.t.Fatalf("%v; the page says:\n%s", err, text)
	}
}

// wait waits until a script's expression is true.
func (b *browser) wait(what, expression string) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(30*time.Second))); err != nil {
		var text string
		chromedp.Run(b.ctx, chromedp.Evaluate("document.body.innerText", &text))
		b.t.Fatalf("%s: %v; the page says:\n%s", what, err, text)
	}
}

// says waits until the element has text in it.
func (b *browser) says(selector, text string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("%q in %s", text, selector), fmt.Sprintf("[...document.querySelectorAll(%q)].some(e => e.innerText.includes(%q))", selector, text))
}

// view opens a view and waits for its heading.
func (b *browser) view(name string) {
	b.t.Helper()
	b.do(chromedp.Click(fmt.Sprintf(`nav a[href="#/%s"]`, strings.ToLower(name)), chromedp.ByQuery))
	b.says("h1", name)
}

// press presses the first button with that text.
func (b *browser) press(text string) {
	b.t.Helper()
	expression := fmt.Sprintf("[...document.querySelectorAll('button')].find(e => e.innerText.trim() === %q && e.checkVisibility())", text)
	b.wait("the button "+text, expression+" !== undefined && !"+expression+".disabled")
	b.do(chromedp.Evaluate(expression+".click()", nil))
}

// picture keeps what the page looks like, where HEADGATE_SCREENSHOTS names a
// directory for that.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("HEADGATE_SCREENSHOTS")
	if dir == "" {
		return
	}
	var png []byte
	b.do(chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// login logs in as anna or otto.
func (b *browser) login(h *house, user string) {
	b.t.Helper()
	b.loginAt(h.web.Address(), user)
}

// loginAt logs in at an address.
func (b *browser) loginAt(address, user string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address), chromedp.WaitVisible("input[name=user]", chromedp.ByQuery),
		chromedp.SendKeys("input[name=user]", user, chromedp.ByQuery), chromedp.SendKeys("input[name=password]", user+"'s secret", chromedp.ByQuery))
	b.press("Log in")
	b.says("h1", "Flow")
}

func TestTheLoginRefusesAWrongPassword(t *testing.T) {
	t.Parallel()
	needChromium(t)
	h := runPage(t, newPlant(t))
	b := openBrowser(t)
	b.do(chromedp.Navigate(h.web.Address()), chromedp.WaitVisible("input[name=user]", chromedp.ByQuery),
		chromedp.SendKeys("input[name=user]", "otto", chromedp.ByQuery), chromedp.SendKeys("input[name=password]", "wrong", chromedp.ByQuery))
	b.press("Log in")
	b.says(".said", "wrong user name or password")
	b.login(h, "otto")
	b.says("#who", "otto (viewer)")
	b.press("Log out")
	b.says("h1", "Log in")
}

func TestEveryViewOfThePageIsAlive(t *testing.T) {
	t.Parallel()
	needChromium(t)
	p := newPlant(t)
	h := runPage(t, p)
	c := dial(t, h.broker.Addresses()[0], "panel")
	c.subscribe("hello/#", 1)
	if err := h.operator.Publish(broker.Message{Topic: "hello/kept", Payload: []byte("kept text"), QoS: 1, Retain: true}); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t)
	b.login(h, "anna")
	b.do(chromedp.Reload()) // the first time, the browser itself begins
	b.says(".allwell", "Everything flows.")
	b.says(".flow", "inverter")
	b.wait("values flow, and up", "[...document.querySelectorAll('.arrow b')].every(e => /[1-9]/.test(e.innerText))")
	b.picture("flow")

	b.view("Devices")
	b.says("td.value", "231.5 V")
	p.meter.SetInput(0, float32Words(229.5)...)
	b.says("td.value", "229.5 V")
	b.picture("devices")
	var paint, plot float64 // ms
	b.do(chromedp.Evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0", &paint), chromedp.Evaluate(`
		[...document.querySelectorAll('button')].find(e => e.innerText.trim() === 'voltage').click();
		window.clicked = performance.now();
		new MutationObserver(() => {
			if (!window.drawn && document.querySelector('dialog .uplot canvas')) window.drawn = performance.now();
		}).observe(document.body, {childList: true, subtree: true})`, nil))
	b.wait("the plot is drawn", "window.drawn > 0")
	b.do(chromedp.Evaluate("window.drawn - window.clicked", &plot))
	t.Logf("first paint after %.0f ms, a plot %.0f ms after the click", paint, plot)
	b.says("dialog", "229.5 V")
	b.picture("point")
	b.press("Last day")
	b.says("dialog button[aria-pressed=true]", "Last day")
	b.wait("the day is there, or that it has no minute yet", "document.querySelector('dialog .plot').childElementCount > 0")
	b.press("Last hour")
	b.wait("the plot is drawn again", "document.querySelector('dialog .uplot canvas') !== null")
	b.press("Close")

	b.view("Topics")
	b.says(".leaf", "kept text")
	b.says(".leaf", "retained")
	b.says(".leaf", "voltage")
	b.do(chromedp.Evaluate("[...document.querySelectorAll('.leaf')].find(e => e.innerText.includes('voltage')).click()", nil))
	b.says("ol.follow li", "229.5")
	b.do(chromedp.SetValue("aside input", "hello/you", chromedp.ByQuery), chromedp.SetValue("aside textarea", "from the page", chromedp.ByQuery))
	b.press("Publish")
	b.says(".leaf", "from the page")
	c.wait(t, "hello/you", nil)
	b.picture("topics")

	b.view("Clients")
	b.says("td", "panel")
	b.picture("clients")

	b.view("Uplinks")
	b.says(".pill", "connected")
	b.press("Pause")
	b.says(".pill", "paused")
	b.press("Resume")
	b.says(".pill", "connected")
	b.picture("uplinks")

	b.view("Store")
	b.says(".facts", "by headgate")
	b.wait("the latency is drawn", "document.querySelector('.uplot canvas') !== null")
	b.picture("store")

	b.view("Log")
	b.says(".lines td", "somebody has logged in")
	b.picture("log")

	b.view("Config")
	b.says("pre", `password = "***"`)
	b.picture("config")
}

func TestAValueIsWrittenFromThePage(t *testing.T) {
	t.Parallel()
	needChromium(t)
	p := newPlant(t)
	h := runPage(t, p)
	b := openBrowser(t)
	b.login(h, "anna")
	b.view("Devices")
	b.press("limit ✎")
	b.do(chromedp.WaitVisible("dialog input", chromedp.ByQuery), chromedp.SetValue("dialog input", "42", chromedp.ByQuery))
	b.press("Write")
	b.says(".said", "Written, and read back: 42 %.")
	b.says("td.value", "42 %")
	b.picture("written")
}

func TestThePageSaysThatTheUplinkIsCutAndMended(t *testing.T) {
	t.Parallel()
	needChromium(t)
	p := newPlant(t)
	link, err := faultnet.Listen("127.0.0.1:0", p.cloud.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	h := runInside(t, p.config(link.Addr())+webTable())
	eventually(t, "the page is there", func() bool { return h.web.Address() != "" })
	b := openBrowser(t)
	b.login(h, "otto")
	b.says(".allwell", "Everything flows.")
	link.Cut()
	b.says(".troubles", "cloud has had no upstream for")
	b.says(".troubles", "Nothing is lost")
	b.wait("the arrow stands still", "document.querySelectorAll('.arrow.standing').length === 1")
	b.picture("cut")
	if err := link.Mend(); err != nil {
		t.Fatal(err)
	}
	b.says(".allwell", "Everything flows.")
}

func TestThePageFitsAPhone(t *testing.T) {
	t.Parallel()
	needChromium(t)
	h := runPage(t, newPlant(t))
	b := openBrowser(t)
	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
	b.login(h, "otto")
	for _, view := range []struct{ name, where, says string }{
		{"Flow", ".flow", "inverter"}, {"Devices", "td.value", "231.5 V"}, {"Topics", ".tree", "inverter"}, {"Clients", "p", "0 connected"},
		{"Uplinks", ".card", "cloud"}, {"Store", ".facts", "by headgate"}, {"Log", "td", "device is online"}, {"Config", "pre", "[gateway]"},
	} {
		b.view(view.name)
		b.says(view.where, view.says)
		b.wait("no view is wider than the phone: "+view.name, "document.documentElement.scrollWidth <= 360")
		b.picture("phone-" + strings.ToLower(view.name))
	}
}
