package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
)

func journalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "read a merchant's books: balances, entries, statements",
		Long: `journal reads a merchant's books: double entry, cash basis, a book per currency,
test money apart from real money. A period counts what occurred in it; --as-of
answers as the ledger knew it then.`,
	}
	cmd.AddCommand(trialBalanceCommand(), entriesCommand(), statementCommand())
	return cmd
}

// period is what reports are about.
type period struct{ from, to, asOf *timestamppb.Timestamp }

func (p *period) flags(cmd *cobra.Command) {
	instantVar(cmd.Flags(), &p.from, "from", "only what occurred then or later")
	instantVar(cmd.Flags(), &p.to, "to", "only what occurred before")
	instantVar(cmd.Flags(), &p.asOf, "as-of", "as the ledger knew it then")
}

func trialBalanceCommand() *cobra.Command {
	var c client
	var p period
	var merchant string
	cmd := &cobra.Command{
		Use:   "balance",
		Short: "sum up every account: the trial balance",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				r, err := ledgerv1.NewReportServiceClient(conn).GetTrialBalance(ctx, &ledgerv1.GetTrialBalanceRequest{
					MerchantId: merchant, OccurredFrom: p.from, OccurredTo: p.to, AsOf: p.asOf,
				})
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), r.Books)
				}
				return printBalance(cmd.OutOrStdout(), r.Books)
			})
		},
	}
	c.flags(cmd)
	p.flags(cmd)
	cmd.Flags().StringVar(&merchant, "merchant", firstMerchant, "whose")
	return cmd
}

// printBalance writes the books one below the other, each with its sums. Sums that differ are an error: nothing in
// the ledger may do that.
func printBalance(w io.Writer, books []*ledgerv1.Book) error {
	var rows [][]any
	var errs []error
	for _, b := range books {
		name := book{b.CurrencyCode, b.Mode}.String()
		for _, a := range b.Accounts {
			rows = append(rows, []any{name, a.Account, figure(a.Debits), figure(a.Credits), right(money.Format(a.Balance))})
		}
		rows = append(rows, []any{name, "sum", figure(b.Debits), figure(b.Credits), right("")})
		if b.Debits.GetMinorUnits() != b.Credits.GetMinorUnits() {
			errs = append(errs, fmt.Errorf("the book %s is not balanced", name))
		}
	}
	table(w, "nothing is booked", []any{"BOOK", "ACCOUNT", "DEBITS", "CREDITS", "BALANCE"}, rows)
	return errors.Join(errs...)
}

// figure is an amount in a column of its own; nothing for zero, as books have it.
func figure(m *ledgerv1.Money) right {
	if money.IsZero(m) {
		return ""
	}
	return right(money.Format(m))
}

func entriesCommand() *cobra.Command {
	var c client
	var p period
	var modes []ledgerv1.Mode
	req := &ledgerv1.ListEntriesRequest{PageSize: 500}
	cmd := &cobra.Command{
		Use:     "entries",
		Short:   "list entries with their postings, oldest first",
		Example: "  ledger journal entries --order 10002",
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.OccurredFrom, req.OccurredTo, req.AsOf, req.Mode = p.from, p.to, p.asOf, single(modes)
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				api := ledgerv1.NewReportServiceClient(conn)
				all, err := pages(func(token string) ([]*ledgerv1.Entry, string, error) {
					req.PageToken = token
					r, err := api.ListEntries(ctx, req)
					return r.GetEntries(), r.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), all)
				}
				printEntries(cmd.OutOrStdout(), all)
				return nil
			})
		},
	}
	c.flags(cmd)
	p.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&req.MerchantId, "merchant", firstMerchant, "whose")
	f.Int64Var(&req.OrderId, "order", 0, "only this order's")
	f.StringVar(&req.SubscriptionId, "subscription", "", "only this subscription's")
	f.StringVar(&req.Account, "account", "", "only those with a posting on this account")
	choiceVar(f, &modes, false, "mode", "only in this mode")
	return cmd
}

// single is the one value that was chosen, or none.
func single[E ~int32](chosen []E) (e E) {
	if len(chosen) > 0 {
		e = chosen[0]
	}
	return e
}

// printEntries writes a line per posting; what all postings of an entry share stands on its first line only.
func printEntries(w io.Writer, all []*ledgerv1.Entry) {
	var rows [][]any
	sums := newTally()
	books := map[string]book{}
	for _, e := range all {
		date, kind := any(dayOf(e.OccurredAt)), any(strings.ReplaceAll(e.EventType, "_", " "))
		for _, p := range e.Postings {
			b := book{p.Debit.GetCurrencyCode() + p.Credit.GetCurrencyCode(), e.Mode}
			if p.Debit != nil && p.Credit != nil {
				b.currency = p.Debit.CurrencyCode
			}
			books[b.String()] = b
			sums.add(b.String(), p.Debit.GetMinorUnits())
			rows = append(rows, []any{date, kind, orderOf(p.OrderId), p.Account, figure(p.Debit), figure(p.Credit), b})
			date, kind = "", ""
		}
	}
	for _, name := range sums.names {
		sum := figure(money.New(books[name].currency, sums.counts[name]))
		rows = append(rows, []any{"", "", right(""), "sum", sum, sum, name})
	}
	table(w, "there are no such entries", []any{"DATE", "EVENT", "ORDER", "ACCOUNT", "DEBIT", "CREDIT", "BOOK"}, rows)
}

// orderOf is an order's id in a table; "-" for none.
func orderOf(id int64) right {
	if id == 0 {
		return "-"
	}
	return right(fmt.Sprint(id))
}
