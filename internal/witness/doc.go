// Package witness is a witness of transparency logs (C2SP tlog-witness): it cosigns a
// checkpoint only when that extends the one it cosigned before, so that a log cannot show
// different people different trees, nor forget what it had shown. It also has the client of
// a witness, for the log's side.
//
// A witness keeps the newest checkpoint of each of its logs in one file, which is durable
// before a cosignature leaves the house.
package witness
