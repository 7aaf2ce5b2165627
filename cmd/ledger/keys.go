package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"ledger.internal/ledger/internal/adapters/seal"
	"ledger.internal/ledger/internal/adapters/work"
)

// keysOptions say whose master key it is.
type keysOptions struct {
	dataDir, masterKey, kms string
}

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "show the master key, or give it a new one to seal with",
		Long: `The master key seals the secrets that the ledger keeps: what it was given to act
at gateways. It is a keyset: its primary key seals, and the older ones open what
they have sealed. "ledger serve" makes the file at its first start, and a ledger
that runs learns by itself of what is done here.

Keep a backup of the file, apart from those of the data directory. What it has
sealed can be opened with nothing else.`,
	}
	cmd.AddCommand(keysShowCommand(), keysRotateCommand(), keysRetireCommand())
	return cmd
}

// flags are those of every command below keys.
func (o *keysOptions) flags(cmd *cobra.Command) {
	dataDirFlag(cmd.Flags(), &o.dataDir)
	masterKeyFlags(cmd.Flags(), &o.masterKey, &o.kms)
}

func (o *keysOptions) path() string { return masterKeyPath(o.masterKey, o.dataDir) }

// keysError is masterKeyError to somebody who may have named the wrong file.
func keysError(err error) error {
	if errors.Is(err, seal.ErrMissing) {
		err = fmt.Errorf("%w (the first \"ledger serve\" on a data directory makes one)", err)
	}
	return masterKeyError(err)
}

func keysShowCommand() *cobra.Command {
	var o keysOptions
	cmd := &cobra.Command{
		Use:   "show",
		Short: "list the keys by their ids, and tell which one seals",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkMasterKey(o.masterKey, o.kms); err != nil {
				return err
			}
			l, err := seal.List(cmd.Context(), o.path(), o.kms)
			if err != nil {
				return keysError(err)
			}
			printKeys(cmd.OutOrStdout(), o.path(), l)
			return nil
		},
	}
	o.flags(cmd)
	return cmd
}

// printKeys lists keys. There is nothing of the keys themselves in a list.
func printKeys(w io.Writer, path string, l seal.Listed) {
	var rows [][]any
	for _, id := range l.Keys {
		use := "opens"
		if id == l.Primary {
			use = "seals and opens (primary)"
		}
		rows = append(rows, []any{strconv.FormatUint(uint64(id), 10), use})
	}
	table(w, "there are no keys", []any{"KEY", "USE"}, rows)
	how := "in clear"
	if l.Wrapped {
		how = "wrapped by a key management service"
	}
	fmt.Fprintf(w, "%s, in %s\n", how, path)
}

func keysRotateCommand() *cobra.Command {
	var o keysOptions
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "add a new key, which seals from now on",
		Long: `rotate adds a new primary key to the file. The keys of before still open what
they have sealed. The ledger may run meanwhile, and need not be started anew.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkMasterKey(o.masterKey, o.kms); err != nil {
				return err
			}
			id, err := seal.Rotate(cmd.Context(), o.path(), o.kms)
			if err != nil {
				return keysError(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %d seals from now on; take a new backup of %s\n", id, o.path())
			return nil
		},
	}
	o.flags(cmd)
	return cmd
}

func keysRetireCommand() *cobra.Command {
	var o keysOptions
	cmd := &cobra.Command{
		Use:   "retire ID",
		Short: "remove an old key for good",
		Long: `retire removes a key that is not the primary one. What it has sealed, and what
was not sealed anew since, can then no longer be opened. It is refused until the
ledger in --data-dir has sealed everything anew with the primary key: it does so
when it is started, and within a minute while it serves.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 32)
			if err != nil {
				return usageError{cmd, fmt.Errorf("%q is not the id of a key; \"ledger keys show\" lists them", args[0])}
			}
			if err := checkMasterKey(o.masterKey, o.kms); err != nil {
				return err
			}
			if err := o.retire(cmd.Context(), uint32(id)); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %d is gone from %s\n", id, o.path())
			return nil
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *keysOptions) retire(ctx context.Context, id uint32) error {
	l, err := seal.List(ctx, o.path(), o.kms)
	if err != nil {
		return keysError(err)
	}
	used, err := work.MasterKeyOf(ctx, filepath.Join(o.dataDir, "work.db"))
	if err != nil {
		return storeError(err)
	}
	needed := used.Sealing != 0 && used.Resealed != l.Primary
	if needed && id != l.Primary && slices.Contains(l.Keys, id) {
		return fmt.Errorf("the ledger in %s has not sealed everything with key %d yet: let it serve for a minute (MASTER_KEY_IN_USE)",
			o.dataDir, l.Primary)
	}
	return keysError(seal.Retire(ctx, o.path(), o.kms, id))
}
