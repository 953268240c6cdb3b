package port

import "path/filepath"

// Identity gives the name by which the port that is at path now will be found
// again when it has been pulled and put back: ttyUSB0 may be another adapter by
// then, and it itself ttyUSB1. It is the link that udev makes of the adapter's
// serial number, or, as many have none, of the socket that it is plugged into;
// path itself for a port that has neither, or is named by such a link already.
func Identity(path string) string { return identityIn("/dev/serial", "/sys/class/tty", path) }

// identityIn is Identity with udev's links below serial, and what the kernel
// knows of each port below class.
func identityIn(serial, class, path string) string {
	device, err := filepath.EvalSymlinks(path)
	if err != nil || device != filepath.Clean(path) {
		return path // it is a link: that its name lasts is why it was chosen
	}
	kinds := []string{"by-path"}
	if u, _ := usbOf(filepath.Join(class, filepath.Base(device), "device")); u.number != "" {
		kinds = []string{"by-id", "by-path"}
	}
	for _, kind := range kinds {
		links, _ := filepath.Glob(filepath.Join(serial, kind, "*"))
		for _, link := range links {
			if to, err := filepath.EvalSymlinks(link); err == nil && to == device {
				return link
			}
		}
	}
	return path
}
