package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

const backupConfig = `
[gateway]
id = "plant"
data_dir = "{DIR}"
[broker]
password_file = "{USERS}"
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
anonymous = true
[web]
listen = "off"
`

// said runs a command in this process.
func said(args ...string) (status int, text string) {
	var out bytes.Buffer
	status = dispatch(args, &out, &out)
	return status, out.String()
}

// backedUp is a gateway with a retained message and a session for which messages wait,
// and its backup, made while it runs.
func backedUp(t *testing.T) (headgate *process, dir, backup string) {
	t.Helper()
	dir = t.TempDir()
	users := filepath.Join(dir, "users")
	if err := os.WriteFile(users, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	headgate = runHeadgate(t, strings.NewReplacer("{DIR}", filepath.Join(dir, "data"), "{USERS}", users).Replace(backupConfig))
	confd := filepath.Join(filepath.Dir(headgate.config), "conf.d")
	if err := os.Mkdir(confd, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(confd, "more.toml"), []byte("[store]\nmin_free = \"1MB\"\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	sub, _ := brokertest.Connect(t, headgate.address, packet.V5, "historian", brokertest.Persistent)
	sub.SubscribeTo("level/#", 1)
	sub.Disconnect()
	pub, _ := brokertest.Connect(t, headgate.address, packet.V5, "pub")
	pub.Publish("kept", "yes", 1, func(p *packet.Publish) { p.Retain = true })
	for i := range 500 {
		pub.Publish("level/1", fmt.Sprint(i), 1)
	}
	backup = filepath.Join(dir, "plant.backup")
	status, text := said("backup", backup, "--config", headgate.config, "--secrets")
	if status != 0 || !strings.Contains(text, "has the gateway plant") {
		t.Fatalf("backup ends with %d: %s", status, text)
	}
	for i := range 500 {
		pub.Publish("level/1", fmt.Sprint(500+i), 1)
	}
	pub.Disconnect()
	return headgate, dir, backup
}

// wantRestored wants a session and a retained message to be as they were when the
// backup was made: all before it, and nothing that came later.
func wantRestored(t *testing.T, headgate *process, messages int) {
	t.Helper()
	sub, _ := brokertest.Connect(t, headgate.address, packet.V5, "historian", brokertest.Persistent)
	for i := range messages {
		if p := sub.Receive(); string(p.Payload) != fmt.Sprint(i) {
			t.Fatalf("message %d: got %s %q", i, p.Topic, p.Payload)
		}
	}
	other, _ := brokertest.Connect(t, headgate.address, packet.V5, "other")
	other.SubscribeTo("kept", 1)
	if p := other.Receive(); string(p.Topic) != "kept" || string(p.Payload) != "yes" {
		t.Errorf("instead of the retained message: %s %q", p.Topic, p.Payload)
	}
}

func TestABackupOfAGatewayAtWorkIsRestoredElsewhere(t *testing.T) {
	t.Parallel()
	headgate, dir, backup := backedUp(t)
	if status, text := said("restore", backup, "--force"); status != exitFailed || !strings.Contains(text, "in use by process") {
		t.Fatalf("restore under a gateway that runs ends with %d: %s", status, text)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "data", "store", "COPY*")); err != nil || left != nil {
		t.Errorf("the copy for the backup is still there: %v %v", left, err)
	}
	headgate.kill()

	// Another machine: the old one's files are gone.
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(headgate.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(headgate.config)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "users")); err != nil {
		t.Fatal(err)
	}
	if status, text := said("restore", backup); status != 0 || !strings.Contains(text, "1 files that stand outside") {
		t.Fatalf("restore ends with %d: %s", status, text)
	}
	if status, text := said("restore", backup); status != exitFailed || !strings.Contains(text, "is not empty") {
		t.Fatalf("restore over a gateway ends with %d: %s", status, text)
	}
	if status, text := said("restore", backup, "--force", "--secrets"); status != 0 {
		t.Fatalf("restore by force ends with %d: %s", status, text)
	}
	if kept, err := filepath.Glob(filepath.Join(dir, "data", "replaced-*", "store", "FORMAT")); err != nil || len(kept) != 1 {
		t.Errorf("what was there before is kept %d times: %v", len(kept), err)
	}
	if again, err := os.ReadFile(headgate.config); err != nil || !bytes.Equal(again, text) {
		t.Errorf("the configuration is another one: %v\n%s", err, again)
	}
	for path, mode := range map[string]fs.FileMode{headgate.config: 0o600, filepath.Join(dir, "users"): 0o640,
		filepath.Join(filepath.Dir(headgate.config), "conf.d", "more.toml"): 0o640} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: got %v %v, want mode %v", path, info, err, mode)
		}
	}
	headgate.start()
	wantRestored(t, headgate, 500)
	headgate.terminate()
}

func TestABackupIsAlsoMadeWhileNoGatewayRunsAndAfterACrash(t *testing.T) {
	t.Parallel()
	headgate, dir, _ := backedUp(t)
	headgate.kill()
	backup := filepath.Join(dir, "crashed.backup")
	if status, text := said("backup", backup, "--config", headgate.config); status != 0 || !strings.Contains(text, "Without the files with secrets that the configuration names, 1 of them") {
		t.Fatalf("backup ends with %d: %s", status, text)
	}
	if status, text := said("restore", backup, "--force"); status != 0 || !strings.Contains(text, "no files with secrets") {
		t.Fatalf("restore ends with %d: %s", status, text)
	}
	headgate.start()
	wantRestored(t, headgate, 1000)
	headgate.terminate()
}

func TestADamagedBackupChangesNothing(t *testing.T) {
	t.Parallel()
	headgate, dir, backup := backedUp(t)
	headgate.terminate()
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gzip.NewReader(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	packed := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	another := bytes.Replace(unpacked, []byte("headgate store "), []byte("headgate stork "), 1)
	for name, test := range map[string]struct {
		text []byte
		want string
	}{
		"a byte that is another one":     {append(append(bytes.Clone(whole[:len(whole)/2]), ^whole[len(whole)/2]), whole[len(whole)/2+1:]...), "damaged"},
		"the end is missing":             {whole[:len(whole)-100], "damaged"},
		"entries at the end are missing": {packed(unpacked[:bytes.LastIndex(unpacked, []byte(sumsEntry))]), "its end is missing"},
		"a file that is another one":     {packed(another), "data/store/FORMAT is not what it was"},
		"of a newer release":             {packed(bytes.Replace(unpacked, []byte(`"format": 1`), []byte(`"format": 2`), 1)), "its format is 2"},
		"no backup at all":               {[]byte("hello"), "damaged, or no backup"},
	} {
		path := filepath.Join(dir, "damaged.backup")
		if err := os.WriteFile(path, test.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if status, text := said("restore", path); status != exitFailed || !strings.Contains(text, test.want) {
			t.Errorf("%s: restore ends with %d, and does not say %q: %s", name, status, test.want, text)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "data")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a restore that was refused has made the data directory: %v", err)
	}
}
