package rpc

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"

	"ledger.internal/ledger/internal/aggregate"
)

// Reason is what whoever gets an error should know about it: the published list of errors is made of these.
type Reason struct {
	Name string `json:"reason"`
	// Answers are the ways in which the API gives it: none if only the program tells it, as it ends.
	Answers []Answer `json:"answers"`
	// Retryable reasons come with a time to wait (RetryInfo, Retry-After): then the same request may go through.
	Retryable bool   `json:"retryable"`
	Meaning   string `json:"meaning"`
	Action    string `json:"action"`
}

// Answer is how an error looks from outside.
type Answer struct {
	Code string `json:"grpc_code"`
	HTTP int    `json:"http_status"`
}

// Reasons lists every reason that the program gives, by name.
func Reasons() []Reason {
	var all []Reason
	for _, row := range reasons {
		r := Reason{Name: row.name, Answers: []Answer{}, Meaning: row.meaning, Action: row.action}
		for _, g := range row.given {
			r.Answers = append(r.Answers, Answer{Code: code.Code_name[int32(g.code)], HTTP: g.http})
			r.Retryable = r.Retryable || retryDelay(g.code) > 0
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Reason) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// given is a gRPC code and the HTTP status beside it.
type given struct {
	code codes.Code
	http int
}

// as is how an error of a code is given: REST follows from gRPC.
func as(c codes.Code) []given { return []given{{c, runtime.HTTPStatusFromCode(c)}} }

// The ways in which a reason is given; one that is given in two has slices.Concat of them.
var (
	invalid     = as(codeOf(aggregate.Invalid))
	notFound    = as(codeOf(aggregate.NotFound))
	exists      = as(codeOf(aggregate.Exists))
	refusedNow  = as(codeOf(aggregate.FailedPrecondition))
	aborted     = as(codeOf(aggregate.Aborted))
	exhausted   = as(codeOf(aggregate.Exhausted))
	unavailable = as(codeOf(aggregate.Unavailable))
	atExit      []given // the program ends, and says so on stderr
)

// atREST is how the front of REST gives an error of a form that gRPC cannot have.
func atREST(status int, c codes.Code) []given { return []given{{c, status}} }

// reasons is the one list of reasons. A test compares it with the code: every reason that the code gives stands here
// once, and nothing else does.
var reasons = []struct {
	name    string
	given   []given
	meaning string // what is the matter, to him who gets it
	action  string // what he can do
}{
	{"ACCOUNT_INVALID", invalid,
		"The books have no account of this name.", "Send `sales`, `refunds`, `gateway:<connection>` … as postings name them."},
	{"AMOUNTS_UNBALANCED", invalid,
		"`full` is given and is not base − discount + shipping + tax.", "Leave `full` out, or correct the parts."},
	{"AMOUNT_FORMAT", invalid,
		"An amount is not written as a whole number in plain digits.", "Send minor units: `\"4700\"` for 47.00 USD; no point, no exponent."},
	{"AMOUNT_MISMATCH", refusedNow,
		"The gateway charged another amount than was asked for; nothing is charged until that is settled.", "Return the charge at the gateway and report it with ResolveMismatch."},
	{"AMOUNT_NOT_CONSENTED", refusedNow,
		"The amount is more than the buyer agreed to in the terms.", "Charge at most what the terms say, or change the terms with the buyer's consent."},
	{"AMOUNT_OR_PARTS", invalid,
		"A refund names its amount and its parts.", "Send one of the two."},
	{"AMOUNT_RANGE", invalid,
		"An amount is negative, 10^15 minor units or more, or nothing where there must be something.", "Send an amount in this range."},
	{"AMOUNT_REQUIRED", invalid,
		"An amount is missing.", "Send one, with its currency; it may be 0 where the field's description says so."},
	{"ANCHOR_MISMATCH", invalid,
		"The anchor is not a whole number of periods away from the due instant.", "Send the instant from which the due instants count, or leave it out."},
	{"ARGUMENT_INVALID", invalid,
		"The query behind the path cannot be read.", "Compare the address with the operation's parameters, and escape what is not a letter or a digit."},
	{"AS_OF_IN_FUTURE", invalid,
		"`as_of` lies in the future, and nobody knows it.", "Send an instant that has passed, or leave it out."},
	{"ATTEMPT_UNKNOWN", notFound,
		"An outcome was reported for an attempt that this subscription never made.", "Nothing for callers: only the ledger's own handlers report outcomes."},
	{"BAD_REQUEST", atREST(http.StatusBadRequest, codes.InvalidArgument),
		"The request is malformed or its body ended early.", "Send it again as a whole."},
	{"BUYER_FIXED", invalid,
		"A subscription keeps its buyer's id for life.", "Leave `buyer.id` out, or start a subscription for the other buyer."},
	{"BUYER_REQUIRED", invalid,
		"The buyer is missing or has no id.", "Send the buyer, with the id that you know him by."},
	{"CANCELLATION_NOT_SCHEDULED", refusedNow,
		"No cancellation waits to take effect.", "Nothing: the subscription goes on."},
	{"CANCELLATION_SCHEDULED", refusedNow,
		"The subscription ends at the end of the paid period already.", "Nothing, or cancel it now, without `at_period_end`."},
	{"CANCELLED", as(codes.Canceled),
		"The caller went away before the answer.", "Send the request again with the same Idempotency-Key to see what came of it."},
	{"CANCEL_REASON_INVALID", invalid,
		"Only a buyer, a merchant or fraud ends a subscription from outside.", "Send CANCEL_REASON_BUYER, CANCEL_REASON_MERCHANT or CANCEL_REASON_FRAUD."},
	{"CLOCK_NOT_MANUAL", refusedNow,
		"Time goes by itself here.", "Start a ledger with `--clock=manual` to move it by hand."},
	{"CONCLUSION_REQUIRED", invalid,
		"A delivery was concluded without saying how.", "Nothing for callers: only the ledger's own sender concludes deliveries."},
	{"CONFIG_FILE", atExit,
		"The configuration file cannot be read.", "Correct the path, or its syntax where the message points."},
	{"CONFIG_INVALID", atExit,
		"A setting has a value that it cannot have.", "Correct the setting that the message names."},
	{"CONFIG_TWICE", atExit,
		"A setting is given in the environment both itself and as a file.", "Give one of the two."},
	{"CONFIG_UNKNOWN_KEY", atExit,
		"The configuration file has a key that is no setting.", "Correct the key; the message names the nearest one that exists."},
	{"CONNECTION_BLOCKED", refusedNow,
		"Nothing can be charged through the connection for now.", "Unblock it, or use another connection; due payments are held until then."},
	{"CONNECTION_EXISTS", exists,
		"The merchant has a connection of this id.", "Use it, or choose another id."},
	{"CONNECTION_NOT_BLOCKED", refusedNow,
		"The connection is not blocked.", "Nothing: it can be charged."},
	{"CONSENT_REQUIRED", invalid,
		"Other amounts need the buyer's consent.", "Send where it can be found as `consent_reference`."},
	{"CONTROL_CHARACTER", invalid,
		"A text holds a control character.", "Remove it; line breaks and tabs count as one."},
	{"COUNTRY_INVALID", invalid,
		"A country code is not one of ISO 3166-1.", "Send two capital letters: `DE`."},
	{"CURRENCY_INVALID", invalid,
		"A currency code is not one of ISO 4217.", "Send three capital letters: `USD`."},
	{"CURRENCY_MISMATCH", invalid,
		"An amount is in another currency than what it belongs to.", "Send all amounts of a subscription in its one currency."},
	{"DAYS_INVALID", invalid,
		"The days of the initial period are 0 or too many.", "Send a number in the range that the message tells."},
	{"DEADLINE_EXCEEDED", as(codes.DeadlineExceeded),
		"The caller's deadline passed before the answer.", "Send the request again with the same request id to see what came of it."},
	{"DISABLE_REASON_INVALID", invalid,
		"An endpoint was disabled without a reason that there is.", "Nothing for callers: the API gives the reason."},
	{"DISCOUNT_EXCEEDS_BASE", invalid,
		"A discount is more than the base it is taken from.", "Lower the discount."},
	{"DISPUTE_NOT_FOUND", notFound,
		"The dispute is not known, and no order is named that it could be about.", "Send `order_id` with the first report of a dispute."},
	{"DISPUTE_NOT_WITHDRAWN", refusedNow,
		"Funds came back that were never withdrawn.", "Report the withdrawal first."},
	{"DISPUTE_ORDER_MISMATCH", invalid,
		"The dispute is about another order.", "Leave `order_id` out, or check the dispute's id."},
	{"DISPUTE_OUTCOME_REQUIRED", invalid,
		"A dispute was closed without saying who won.", "Send `outcome` with DISPUTE_STAGE_CLOSED."},
	{"DISPUTE_REQUIRED", invalid,
		"The dispute's id is missing.", "Send the gateway's id of the dispute."},
	{"DISPUTE_STAGE_INVALID", invalid,
		"The report does not say what happened.", "Send a `stage`."},
	{"DUE_RANGE", invalid,
		"A due instant lies in the past, or more than ten years ahead.", "Send one between."},
	{"DUNNING_DAYS_INVALID", invalid,
		"The days of the re-attempts are not at most 8 rising days from 1 to 60.", "Send such days, or none for 3, 6 and 9."},
	{"DURATION_INVALID", invalid,
		"A duration is not one, or negative where time only goes forward.", "Write seconds: `\"10s\"`, `\"0.5s\"`."},
	{"ENCODING_UNSUPPORTED", atREST(http.StatusUnsupportedMediaType, codes.InvalidArgument),
		"The body is compressed.", "Send it as it is, without Content-Encoding."},
	{"ENDPOINT_DISABLED", refusedNow,
		"The endpoint is disabled already.", "Nothing."},
	{"ENDPOINT_EXISTS", exists,
		"The merchant has an endpoint of this id.", "Update it, or choose another id."},
	{"ENDPOINT_LIMIT", exhausted,
		"The merchant has as many endpoints as he can have.", "Update or reuse one of them."},
	{"ENUM_UNKNOWN", invalid,
		"A value is none of its enumeration's.", "Send one of the names that the message tells."},
	{"EVENT_TYPE_DUPLICATE", invalid,
		"An endpoint lists a notification twice.", "List each once; an empty list means all."},
	{"EVENT_TYPE_UNKNOWN", invalid,
		"An endpoint lists a notification that does not exist.", "Send names of IpnType."},
	{"FIELD_UNKNOWN", invalid,
		"The request has a field that the message does not have, or one that stands in the path; a command has none in the query.", "Correct its name, or move it to the body; nothing is passed over in silence."},
	{"FIRST_PAYMENT_IN_DOUBT", refusedNow,
		"Another first payment of this buyer for this price point is not decided yet; `subscription` names it.", "Wait until it is, or send `allow_duplicate` if the buyer really wants two."},
	{"FREQUENCY_INVALID", invalid,
		"Recurring installments lack a frequency, or another kind of price has one.", "Send `frequency` with PRICE_KIND_RECURRING_INSTALLMENTS only."},
	{"GATEWAY_SCHEDULE", refusedNow,
		"The gateway runs this subscription's schedule.", "Change it at the gateway; the ledger takes note of what happens there."},
	{"GATEWAY_UNKNOWN", slices.Concat(invalid, refusedNow),
		"There is no such gateway here, or no such connection to one.", "Create the connection first, to a gateway that the message names."},
	{"GATEWAY_UNREACHABLE", unavailable,
		"The connection is kept, but its gateway could not be told of it.", "Send the request again with the same Idempotency-Key."},
	{"GDPR_STATUS_INVALID", invalid,
		"The buyer's GDPR status does not exist.", "Send a number from 0 to 5."},
	{"IDEMPOTENCY_KEY_INVALID", invalid,
		"The key is too long, not plain ASCII, or begins like the ledger's own.", "Send 1 to 255 printable ASCII characters; a UUID is good."},
	{"IDEMPOTENCY_KEY_MISMATCH", invalid,
		"The header and `request_id` differ, or there are two headers.", "Send one key."},
	{"IDEMPOTENCY_KEY_REQUIRED", invalid,
		"A command came without a key.", "Send an Idempotency-Key header, or `request_id` by gRPC: one for each thing that you want done once."},
	{"IDEMPOTENCY_KEY_REUSED", invalid,
		"The key was used before for another request.", "Choose a new key for a new request; repeat an old one without any change."},
	{"ID_INVALID", invalid,
		"An id is missing, differs from the one in the path, or has other characters than an id may have.", "Send 1 to 40 letters, digits or underscores."},
	{"IMPORT_REQUIRED", invalid,
		"The request says nothing of what is taken over.", "Send `import`."},
	{"IMPORT_STATE_INVALID", invalid,
		"A subscription in this state is not taken over so.", "Send TRIALING exactly while only an initial payment is paid, else ACTIVE, PAST_DUE or PAUSED."},
	{"INITIAL_NOT_ALLOWED", invalid,
		"The terms have an initial payment, but this way of starting has none.", "Use StartTrial, or leave `initial` out."},
	{"INITIAL_REQUIRED", invalid,
		"A trial needs an initial payment; it may be 0.", "Send `terms.initial`, or use StartSubscription."},
	{"INSTALLMENTS_EXCEED_FREQUENCY", invalid,
		"The installments do not fit before the next cycle begins.", "Have fewer of them, a shorter period or a longer frequency."},
	{"INSTALLMENTS_INVALID", invalid,
		"The number of installments is missing, too large, or given for a price without installments.", "Send it with installment prices only."},
	{"INTERNAL", as(codes.Internal),
		"A fault of the ledger. Its message has a reference; the log has the cause under it.", "Tell whoever runs the ledger the reference. Repeating with the same Idempotency-Key is safe."},
	{"INTRODUCTORY_INVALID", invalid,
		"The introductory price does not say for how many payments it holds.", "Send `introductory.payments`."},
	{"JSON_DUPLICATE_KEY", invalid,
		"A field or a query parameter is given twice.", "Send it once."},
	{"JSON_INVALID", invalid,
		"The body is not JSON, or a value is not of its field's type.", "Correct what stands at the field that the message names."},
	{"LEDGER_SCHEDULE", refusedNow,
		"The ledger charges this subscription; a payment that it did not ask for pays nothing.", "Return the payment at the gateway, or find out whose it is."},
	{"LISTEN", atExit,
		"The program cannot listen on an address: another one does, or it is not this machine's.", "Stop the other, or choose another with the flag that the message names."},
	{"LOG_BROKEN", atExit,
		"A log that was to be copied is not whole: a hash chain or a revision does not hold. Nothing was written.", "Run `ledger verify` on it, and restore the log from a backup that is whole."},
	{"LOG_ELSEWHERE", atExit,
		"The data directory belongs to another log than the one that `--log` names.", "Give the log that it belongs to, move it with `ledger copy-log`, or choose another `--data-dir`."},
	{"LOG_NOT_EMPTY", atExit,
		"A log that something is to be written to holds something else already.", "Name an empty one. A copy can go on only where nobody has written since."},
	{"LOG_REFUSED", atExit,
		"The log that `--log` names cannot be used as it is, however often it is tried.", "Change what the message names: credentials, certificate, version, or the retention of the streams."},
	{"LOG_UNREACHABLE", atExit,
		"The log that `--log` names does not answer.", "Check the address and that it runs. `ledger serve` waits for it by itself."},
	{"MEDIA_TYPE", atREST(http.StatusUnsupportedMediaType, codes.InvalidArgument),
		"The body is not declared as JSON.", "Send `Content-Type: application/json`."},
	{"MERCHANT_EXISTS", exists,
		"There is a merchant of this id.", "Update it, or choose another id."},
	{"MESSAGE_INVALID", invalid,
		"The bytes are not the protobuf message that the method takes.", "Generate your client from the protos of this version."},
	{"MESSAGE_TOO_LARGE", slices.Concat(exhausted, atREST(http.StatusRequestEntityTooLarge, codes.ResourceExhausted)),
		"The request is larger than 256 KiB.", "Send less."},
	{"METADATA_LIMIT", invalid,
		"There are more than 50 pairs of metadata, or one is too long or not a text.", "Keep to 50 pairs of texts, keys of 1 to 40 and values of up to 500 characters."},
	{"METHOD_NOT_ALLOWED", atREST(http.StatusMethodNotAllowed, codes.Unimplemented),
		"The address exists, but not for this HTTP method.", "Use one of those in the Allow header."},
	{"METHOD_REQUIRED", invalid,
		"Without a stored method nothing can be charged.", "Send the gateway's reference of the method, or its agreement."},
	{"METHOD_STOPPED", refusedNow,
		"The bank said that this payment method must not be tried again.", "Ask the buyer for another method and replace it."},
	{"METHOD_UNKNOWN", slices.Concat(as(codes.Unimplemented), atREST(http.StatusNotFound, codes.NotFound)),
		"There is no such address or method.", "Compare it with this documentation; custom verbs follow a colon (`…:refund`)."},
	{"MISMATCH_NOT_OPEN", refusedNow,
		"No charge of another amount waits for this attempt to be resolved.", "Compare the pay number and the attempt with the subscription's events."},
	{"MODE_MISMATCH", invalid,
		"Test and live are never mixed.", "Name a connection of the subscription's own mode."},
	{"MODE_REQUIRED", invalid,
		"A book has a mode.", "Send MODE_LIVE or MODE_TEST."},
	{"NAME_REQUIRED", invalid,
		"A merchant has no name.", "Send one."},
	{"NEXT_DUE_REQUIRED", invalid,
		"Nobody could know when the next payment is due.", "Send `next_due_at`."},
	{"NOT_CAPTURED", refusedNow,
		"Nothing was charged for this order, so nothing can be returned or disputed.", "Name an order of type sale or rebill that is paid."},
	{"NOT_DUE", refusedNow,
		"The next payment is not due yet.", "Wait until the instant in the metadata's `due`, or move it with Reschedule."},
	{"NOT_FOUND", notFound,
		"There is no such thing, or not for this merchant.", "Check the ids in the path."},
	{"NOT_PARKED", notFound,
		"The follower has not set this stream aside.", "Nothing; ListParked shows what is parked."},
	{"NO_PAYMENT_LEFT", refusedNow,
		"No payment follows that could ask for other amounts.", "Nothing: the plan ends with the open payment."},
	{"NUMBERS_EXHAUSTED", exhausted,
		"All subscription numbers are given out.", "Tell whoever runs the ledger; it takes no more subscriptions."},
	{"NUMBER_FORMAT", invalid,
		"A number is not a whole number in plain digits.", "Send digits only, and as a text beyond 2^53."},
	{"ORDER_LIMIT", exhausted,
		"The subscription has as many orders as it can have.", "Start a new one."},
	{"PAGE_SIZE", invalid,
		"The page size is negative.", "Send 1 to 500, or 0 for 50."},
	{"PAGE_TOKEN_INVALID", invalid,
		"The token is not from this list with this filter.", "Pass `next_page_token` on as it came, and leave the filter as it was."},
	{"PAID_NUMBER_RANGE", invalid,
		"So many payments cannot have been made.", "Send at least 1, and fewer than the plan has."},
	{"PAN_REJECTED", invalid,
		"A text looks like a card number.", "Never send one: send the gateway's token."},
	{"PAYMENT_HELD", refusedNow,
		"Nothing is charged while a dispute is open.", "Wait until it is closed."},
	{"PAYMENT_IN_PROGRESS", refusedNow,
		"An attempt at a payment is under way.", "Wait for its outcome; the subscription's `open_attempt` shows it."},
	{"PAYMENT_NOT_FOUND", notFound,
		"The subscription has no such payment.", "List the subscription's orders."},
	{"PAYMENT_OUTCOME_UNKNOWN", refusedNow,
		"Nobody knows yet whether the last attempt charged. Another one could charge twice.", "Wait: the ledger asks the gateway until there is proof. ListInDoubt shows since when."},
	{"PAY_NUMBER_GAP", refusedNow,
		"An earlier payment comes first.", "Name the pay number in the metadata's `next`, or none."},
	{"PAY_NUMBER_PAID", refusedNow,
		"This payment is paid.", "Nothing; a pay number is never charged twice."},
	{"PERIOD_INVALID", invalid,
		"A period ends before it begins.", "Send the earlier instant as the beginning; the end is not part of it."},
	{"PERIOD_NOT_ALLOWED", invalid,
		"A one-time price has a period.", "Leave `period` out."},
	{"PERIOD_REQUIRED", invalid,
		"The terms do not say how far apart the payments are.", "Send `period`."},
	{"POSITION_AHEAD", invalid,
		"The position lies beyond the log's last event.", "Pass positions on as this ledger gave them."},
	{"POSITION_INVALID", invalid,
		"This is not a position of this ledger.", "Pass positions on as they came."},
	{"POSITION_NOT_REACHED", unavailable,
		"The view has not seen `min_position` within two seconds.", "Send the request again, or without `min_position` if older rows will do."},
	{"PRICE_KIND_INVALID", invalid,
		"The terms do not say what kind of price this is.", "Send `kind`."},
	{"PRICE_POINT_INVALID", invalid,
		"Price points count from 1.", "Send `price_point`."},
	{"PROCESSOR_UNKNOWN", invalid,
		"There is no such processor for notifications.", "Send one of those that the message names."},
	{"PRODUCT_REQUIRED", invalid,
		"The product lacks its id or its name.", "Send both."},
	{"QUANTITY_INVALID", invalid,
		"The quantity is too large.", "Send at most what the message tells; it multiplies no amount."},
	{"REASON_REQUIRED", invalid,
		"Whoever reads this later will want to know why.", "Send a reason in a few words."},
	{"REFERENCE_REQUIRED", invalid,
		"The gateway's id of what happened is missing.", "Send it: it keeps one thing from being recorded twice."},
	{"REFUND_EXCEEDS_CAPTURED", refusedNow,
		"More would go back than is left of the payment; refunds under way count.", "Refund at most the amount in the metadata's `left`, or leave `amount` out for all of it."},
	{"REFUND_NOT_DONE", refusedNow,
		"A refund was reversed that has not succeeded.", "Nothing for callers: gateways report reversals."},
	{"REFUND_NOT_FOUND", notFound,
		"The subscription has no such refund.", "List the subscription's orders."},
	{"RETRY_CAP", exhausted,
		"The card was declined so often within 30 days that card schemes fine another try.", "Ask the buyer for another payment method."},
	{"REVISION_CONFLICT", aborted,
		"Others changed the same thing at the same time, or it is not at `expected_revision`.", "Send the request again; with `expected_revision`, read the thing first and decide anew."},
	{"SECRET_FILE", atExit,
		"A file with a secret is missing, empty, or can be read by others.", "Make the file, and give it the mode 0600."},
	{"SECRET_REQUIRED", invalid,
		"A signing secret is missing.", "Nothing for callers: the API makes one up where none is given."},
	{"SLOW_CONSUMER", exhausted,
		"A watcher read nothing for too long.", "Watch again from the last position that you have."},
	{"START_REQUIRED", invalid,
		"The request does not say what is started.", "Send `start`."},
	{"STATE_INVALID", refusedNow,
		"The subscription's state does not allow this; the metadata's `state` names it.", "Read the subscription; what has ended is started anew, not revived."},
	{"STATE_UNKNOWN", invalid,
		"A filter names a state of deliveries that does not exist.", "Send pending, sending, delivered, gave_up or disabled."},
	{"STOPPING", unavailable,
		"The server is stopping.", "Send the request again with the same Idempotency-Key; another replica or the next start answers."},
	{"STORAGE_FULL", unavailable,
		"The ledger's disk is full; nothing was written.", "Free space on the data directory's disk, then send the request again."},
	{"STORE_DIVERGED", atExit,
		"The views and the work store were made from another log than the one that is there.", "Restore stores that belong together, or have them built anew: `ledger rebuild --work`."},
	{"STORE_LOCKED", atExit,
		"Another process uses the data directory.", "Stop it, or choose another with `--data-dir`."},
	{"STORE_TOO_NEW", atExit,
		"A newer version of the program wrote this data.", "Run that version or a later one."},
	{"STORE_TOO_OLD", atExit,
		"The data are from a version that this one cannot take over.", "Start the version before it once, or move the file that the message names away if it can be rebuilt."},
	{"STORE_UNAVAILABLE", unavailable,
		"The ledger's store does not answer; whether something was written is not known.", "Send the request again with the same Idempotency-Key: it is done once."},
	{"SUBSCRIPTION_EXISTS", exists,
		"The merchant has a subscription of this id.", "Choose another id, or leave it out."},
	{"TENANT_MISMATCH", invalid,
		"The body names another merchant than the path.", "Leave `merchant_id` out of the body."},
	{"TERMS_REQUIRED", invalid,
		"The request does not say what is sold.", "Send `terms`."},
	{"TEXT_TOO_LONG", invalid,
		"A text is longer than its field takes.", "Shorten it to what the message tells."},
	{"TIME_INVALID", invalid,
		"A time is not one, or outside the years 1 to 9999.", "Write it with its zone: `2030-01-31T10:00:00Z`."},
	{"TIME_RANGE", invalid,
		"An instant lies where it cannot lie.", "Correct the time; a start lies in the past."},
	{"TIME_ZONE_INVALID", invalid,
		"There is no such time zone.", "Send a name of the IANA list: `Europe/Berlin`."},
	{"TOKEN_REQUIRED", invalid,
		"The new method's token is missing.", "Send the gateway's one-time token."},
	{"UNAVAILABLE", unavailable,
		"The ledger is starting or stopping.", "Send the request again with the same Idempotency-Key."},
	{"UNCHANGED", refusedNow,
		"The command would change nothing.", "Nothing; it is as you want it."},
	{"URL_INVALID", invalid,
		"An address is not an absolute http or https URL, or has a user or a fragment.", "Correct it."},
	{"UTF8_INVALID", invalid,
		"A text is not valid UTF-8.", "Encode it as UTF-8."},
	{"WAIT_RANGE", invalid,
		"A wait is not between 0 and 30 seconds.", "Send `Prefer: wait=10`, or `\"wait\": \"10s\"`."},
}
