package sandbox

import (
	"errors"
	"fmt"
	"net/http"

	"ledger.internal/ledger/internal/projection"
)

// faultRequest makes the next requests of an account go wrong, whatever their script says.
type faultRequest struct {
	Operation string `json:"operation"` // charge, refund, lookup, list, any, webhook
	Step      string `json:"step"`
	Times     int    `json:"times"` // 0 is once, -1 until the faults are deleted
}

func (q *faultRequest) check() error {
	ok := false
	switch q.Operation {
	case opCharge:
		_, ok = chargeStep(q.Step)
	case opRefund:
		_, ok = refundStep(q.Step)
	case opLookup, opList, opAny:
		_, ok = commonStep(q.Step)
	case opWebhook:
		ok = q.Step == stepLost
	default:
		return errors.New("operation is charge, refund, lookup, list, webhook or any")
	}
	if !ok {
		return fmt.Errorf("no step %q for operation %q", q.Step, q.Operation)
	}
	return nil
}

func (s *Server) postFault(w http.ResponseWriter, r *http.Request) {
	var q faultRequest
	err := read(w, r, &q)
	if err == nil {
		err = q.check()
	}
	if err != nil {
		s.invalid(w, r, err)
		return
	}
	if q.Times == 0 {
		q.Times = 1
	}
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		if _, err := tx.Exec(`INSERT INTO faults (account, operation, step, times) VALUES ($1, $2, $3, $4)`,
			r.PathValue("account"), q.Operation, q.Step, q.Times); err != nil {
			return answer{}, err
		}
		return answerWith(http.StatusOK, q)
	})
}

func (s *Server) deleteFaults(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		n, err := tx.Exec(`DELETE FROM faults WHERE account = $1`, r.PathValue("account"))
		if err != nil {
			return answer{}, err
		}
		return answerWith(http.StatusOK, map[string]int64{"deleted": n})
	})
}

// takeFault uses up the oldest fault that is meant for the operation; "" if there is none.
func takeFault(tx projection.Tx, account, operation string) (step string, err error) {
	var seq, times int64
	general := opAny
	if operation == opWebhook {
		general = opWebhook
	}
	err = tx.QueryRow(`SELECT seq, step, times FROM faults WHERE account = $1 AND operation IN ($2, $3) ORDER BY seq LIMIT 1`,
		account, operation, general).Scan(&seq, &step, &times)
	if errors.Is(err, projection.ErrNoRows) {
		return "", nil
	}
	if err != nil || times < 0 {
		return step, err
	}
	if times > 1 {
		_, err = tx.Exec(`UPDATE faults SET times = times - 1 WHERE seq = $1`, seq)
	} else {
		_, err = tx.Exec(`DELETE FROM faults WHERE seq = $1`, seq)
	}
	return step, err
}
