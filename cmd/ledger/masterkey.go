package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ledger.internal/ledger/internal/adapters/seal"
	"ledger.internal/ledger/internal/aggregate"
)

// masterKeyFlags are settings that "keys" shares with "serve".
func masterKeyFlags(f *pflag.FlagSet, path, kms *string) {
	f.StringVar(path, "master-key", "", "file with the key that secrets are sealed with; master.key in the data directory if empty")
	f.StringVar(kms, "master-key-kms", "", "key that wraps what is in that file, of AWS (aws-kms://), Google Cloud (gcp-kms://) or Vault (hcvault://)")
	note(f.Lookup("master-key"), isSetting)
	note(f.Lookup("master-key"), cobra.BashCompFilenameExt)
	note(f.Lookup("master-key-kms"), isSetting)
}

// masterKeyPath is where the master key is.
func masterKeyPath(setting, dataDir string) string {
	if setting == "" {
		return filepath.Join(dataDir, "master.key")
	}
	return setting
}

// checkMasterKey repeats neither value. Somebody may have given the key itself where its file is asked for, as
// LEDGER_MASTER_KEY_FILE invites to: that names a file that holds the path.
func checkMasterKey(path, kms string) error {
	var errs []error
	if strings.ContainsAny(path, "{\n") {
		errs = append(errs, configError{aggregate.InvalidField("--master-key", "CONFIG_INVALID",
			"it is the path of the file with the key, not the key")})
	}
	if kms != "" {
		errs = append(errs, masterKeyError(seal.CheckKMS(kms)))
	}
	return errors.Join(errs...)
}

// masterKeyError gives what is wrong with a master key its reason.
func masterKeyError(err error) error {
	bad := func(reason, format string, args ...any) error {
		return configError{aggregate.InvalidField("--master-key", reason, format, args...)}
	}
	switch {
	case errors.Is(err, seal.ErrMissing):
		return bad("MASTER_KEY_MISSING", "%v: restore it from its backup, for no other key opens what it has sealed", err)
	case errors.Is(err, seal.ErrOther):
		return bad("MASTER_KEY_OTHER", "%v: restore the file from its latest backup", err)
	case errors.Is(err, seal.ErrInvalid):
		return bad("MASTER_KEY_INVALID", "%v", err)
	case errors.Is(err, seal.ErrFile):
		return bad("SECRET_FILE", "%v", err)
	case errors.Is(err, seal.ErrKMS):
		return configError{aggregate.InvalidField("--master-key-kms", "MASTER_KEY_KMS", "%v", err)}
	case errors.Is(err, seal.ErrUnavailable):
		return fmt.Errorf("--master-key-kms: %w (MASTER_KEY_UNAVAILABLE)", err)
	case errors.Is(err, seal.ErrKeyID):
		return fmt.Errorf("%w (MASTER_KEY_ID)", err)
	}
	return err
}

// openSeal opens the master key, and makes one for a ledger that never had any. One that had is known to the work
// store, which also learns of every later one before anything is sealed with it.
func (s *service) openSeal(ctx context.Context) error {
	if s.looking {
		return nil
	}
	known, err := s.work.MasterKey(ctx)
	if err != nil {
		return err
	}
	later := context.WithoutCancel(ctx)
	s.seal, err = seal.OpenFile(ctx, seal.Options{
		Path: masterKeyPath(s.cfg.MasterKey, s.cfg.DataDir), KMS: s.cfg.MasterKeyKMS,
		Create: known.Sealing == 0, Needed: known.Sealing,
		Note: func(key uint32) error { return s.work.SetMasterKey(later, key) },
	})
	return masterKeyError(err)
}

// resealEvery is how often somebody looks whether there is another master key.
const resealEvery = time.Minute

// reseal keeps everything sealed with the newest master key, until ctx ends.
func (s *service) reseal(ctx context.Context) error {
	tick := time.NewTicker(resealEvery)
	defer tick.Stop()
	for {
		if err := s.resealOnce(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("not everything is sealed with the newest master key; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// resealOnce seals with the newest master key what is sealed with an older one.
func (s *service) resealOnce(ctx context.Context) error {
	s.seal.Current(nil) // notices another key in the file, and notes it
	key, err := s.work.MasterKey(ctx)
	if err != nil || key.Resealed == key.Sealing {
		return err
	}
	if err := s.connections.Reseal(ctx); err != nil {
		return err
	}
	return s.work.SetResealed(ctx, key.Sealing)
}

// afterRotation reports whether the ledger was started with another master key than it had: then everything is sealed
// anew before it serves, so that the old key can be retired once it does.
func (s *service) afterRotation(ctx context.Context) bool {
	key, err := s.work.MasterKey(ctx)
	return err == nil && key.Resealed != 0 && key.Resealed != key.Sealing
}
