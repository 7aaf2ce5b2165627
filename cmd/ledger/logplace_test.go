package main

import (
	"strings"
	"testing"
)

// A password in the log's URL is seen by nobody, the host is; and a URL that makes no sense is a wrong setting.
func TestLogSetting(t *testing.T) {
	t.Parallel()
	secret := "log: esdb://ledger:hush@db1:2113,db2:2113?tls=true\n"
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"as a flag":                    {[]string{"--log", farURL}, 0, "esdb://ledger:(secret)@db1:2113"},
		"in a file of its owner":       {[]string{"--config", write(t, 0o600, secret)}, 0, "esdb://ledger:(secret)@db1:2113,db2:2113"},
		"in a file that all can read":  {[]string{"--config", write(t, 0o644, secret)}, 2, "line 1: log holds a secret, and the file is open to others: chmod 600 "},
		"no secret in such a file":     {[]string{"--config", write(t, 0o644, "log: esdb://db1:2113\n")}, 0, "esdb://db1:2113"},
		"nothing":                      {[]string{"--log", ""}, 0, "log "},
		"another scheme":               {[]string{"--log", "http://ledger:hush@db1:2113"}, 2, "ledger: --log: "},
		"no host":                      {[]string{"--log", "esdb://ledger:hush@"}, 2, "ledger: --log: "},
		"no URL, but perhaps a secret": {[]string{"--log", "hush"}, 2, "(CONFIG_INVALID)"},
		"no URL in a file":             {[]string{"--config", write(t, 0o600, "log: hush\n")}, 2, "(CONFIG_INVALID)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"print", "check"} {
				code, out, errs := inMemory(append([]string{"config", command}, c.args...)...)
				text := out + errs
				if code != c.code || strings.Contains(text, "hush") || (code != 0 || command == "print") && !strings.Contains(text, c.says) {
					t.Errorf("config %s: exit %d, stdout %q, stderr %q; want %d, %q and no password", command, code, out, errs, c.code, c.says)
				}
			}
		})
	}
}

func TestLogSettingFromAFile(t *testing.T) {
	t.Setenv("LEDGER_LOG_FILE", write(t, 0o600, farURL+"\n"))
	if got, want := printed(t)["log"], [2]string{"esdb://ledger:(secret)@db1:2113", "LEDGER_LOG_FILE"}; got != want {
		t.Errorf("printed as %q, want %q", got, want)
	}
}

// Every command that opens a log refuses one that makes no sense, and says of one that is not there that it is not.
func TestCommandsAndTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, command := range [][]string{
		{"serve", "--data-dir", dir}, {"verify", "--data-dir", dir}, {"rebuild", "--data-dir", dir}, {"demo"},
	} {
		code, out, errs := inMemory(append(command, "--log=http://ledger:hush@db1")...)
		if code != 2 || out != "" || !strings.Contains(errs, "--log: ") || strings.Contains(errs, "hush") {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want 2 and --log", command[0], code, out, errs)
		}
	}
}

func TestPlaceName(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"": "embedded", farURL: "esdb://db1:2113",
		"esdb+discover://ledger:a@db.example:2113?tls=true": "esdb+discover://db.example:2113",
		"esdb://db1:2113,db2:2113,db3:2113?tls=false":       "esdb://db1:2113,db2:2113,db3:2113",
	} {
		p, err := placeOf(setting, "data")
		if err != nil || p.name() != want {
			t.Errorf("%s: got %q, %v; want %q", setting, p.name(), err, want)
		}
	}
}
