package broker_test

import "os"

// proof says that the long forms of the tests are wanted.
func proof() bool { return os.Getenv("HEADGATE_PROOF") != "" }
