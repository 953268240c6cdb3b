package config

import (
	"os"
	"testing"
)

func TestACredentialIsThatOfTheServiceOrTheFileThatItIsMadeOf(t *testing.T) {
	const text = "${CREDENTIALS_DIRECTORY}/secret_cloud"
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/headgate.service")
	if got, wrong := expandText(text); got != "/run/credentials/headgate.service/secret_cloud" || wrong != "" {
		t.Errorf("in the service: got %q, %q", got, wrong)
	}
	os.Unsetenv("CREDENTIALS_DIRECTORY")
	if got, wrong := expandText(text); got != "/etc/headgate/credentials/cloud" || wrong != "" {
		t.Errorf("outside: got %q, %q", got, wrong)
	}
	if _, wrong := expandText("${CREDENTIALS_DIRECTORY}/other"); wrong == "" {
		t.Error("another service's credential outside of it: nothing is wrong")
	}
}
