package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
)

func statementCommand() *cobra.Command {
	var c client
	var p period
	var modes []ledgerv1.Mode
	req := &ledgerv1.GetStatementRequest{PageSize: 500}
	cmd := &cobra.Command{
		Use:     "statement ACCOUNT",
		Short:   "list an account's postings with the balance after each",
		Example: "  ledger journal statement gateway:sandbox --from 2026-03-01 --to 2026-04-01",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Account, req.Mode = args[0], single(modes)
			req.OccurredFrom, req.OccurredTo, req.AsOf = p.from, p.to, p.asOf
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				api := ledgerv1.NewReportServiceClient(conn)
				if err := chooseBook(ctx, cmd, api, req); err != nil {
					return err
				}
				return statement(ctx, api, req, cmd.OutOrStdout(), c.asJSON)
			})
		},
	}
	c.flags(cmd)
	p.flags(cmd)
	cmd.Flags().StringVar(&req.MerchantId, "merchant", firstMerchant, "whose")
	cmd.Flags().StringVar(&req.CurrencyCode, "currency", "", "in this currency; needed if the account has several")
	choiceVar(cmd.Flags(), &modes, false, "mode", "in this mode; needed if the account has both")
	return cmd
}

// chooseBook fills in the currency and the mode if the account leaves no choice.
func chooseBook(ctx context.Context, cmd *cobra.Command, api ledgerv1.ReportServiceClient, req *ledgerv1.GetStatementRequest) error {
	if req.CurrencyCode != "" && req.Mode != 0 {
		return nil
	}
	r, err := api.GetTrialBalance(ctx, &ledgerv1.GetTrialBalanceRequest{MerchantId: req.MerchantId, AsOf: req.AsOf})
	if err != nil {
		return err
	}
	var found []book
	var names []string
	for _, b := range r.Books {
		fits := (req.CurrencyCode == "" || req.CurrencyCode == b.CurrencyCode) && (req.Mode == 0 || req.Mode == b.Mode)
		for _, a := range b.Accounts {
			if fits && a.Account == req.Account {
				found = append(found, book{b.CurrencyCode, b.Mode})
				names = append(names, b.CurrencyCode+" "+nameOf(b.Mode))
			}
		}
	}
	switch len(found) {
	case 0:
		return fmt.Errorf("nothing was ever booked on the account %q", req.Account)
	case 1:
		req.CurrencyCode, req.Mode = found[0].currency, found[0].mode
		return nil
	}
	return usageError{cmd, fmt.Errorf("%s is in several books (%s): choose one with --currency and --mode", req.Account, strings.Join(names, ", "))}
}

// statement fetches all pages and prints them.
func statement(ctx context.Context, api ledgerv1.ReportServiceClient, req *ledgerv1.GetStatementRequest, w io.Writer, asJSON bool) error {
	var opening *ledgerv1.Money
	lines, err := pages(func(token string) ([]*ledgerv1.StatementLine, string, error) {
		req.PageToken = token
		r, err := api.GetStatement(ctx, req)
		if token == "" {
			opening = r.GetOpening()
		}
		return r.GetLines(), r.GetNextPageToken(), err
	})
	if err != nil {
		return err
	}
	if asJSON {
		all, err := rawJSON(&ledgerv1.GetStatementResponse{Opening: opening, Lines: lines})
		if err != nil {
			return err
		}
		return printIndented(w, all[0])
	}
	printStatement(w, opening, lines)
	return nil
}

func printStatement(w io.Writer, opening *ledgerv1.Money, lines []*ledgerv1.StatementLine) {
	closing := opening
	var debits, credits int64
	rows := [][]any{{"", "opening balance", right(""), right(""), right(""), right(money.Format(opening))}}
	for _, l := range lines {
		rows = append(rows, []any{
			dayOf(l.OccurredAt), strings.ReplaceAll(l.EventType, "_", " "), orderOf(l.OrderId), figure(l.Debit), figure(l.Credit),
			right(money.Format(l.Balance)),
		})
		debits, credits, closing = debits+l.Debit.GetMinorUnits(), credits+l.Credit.GetMinorUnits(), l.Balance
	}
	code := closing.GetCurrencyCode()
	rows = append(rows, []any{"", "closing balance", right(""), figure(money.New(code, debits)), figure(money.New(code, credits)), right(money.Format(closing))})
	table(w, "", []any{"DATE", "EVENT", "ORDER", "DEBIT", "CREDIT", "BALANCE " + code}, rows)
}
