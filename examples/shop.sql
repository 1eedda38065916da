-- The support desk's shop: ten customers and three hundred orders, the same at every time.

CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT UNIQUE);

CREATE TABLE IF NOT EXISTS orders (
  number INTEGER PRIMARY KEY, customer TEXT, item TEXT, price TEXT,
  status TEXT, placed_at TEXT
);

INSERT OR IGNORE INTO customers VALUES
  (0, 'Ada Lovelace', 'ada.lovelace@example.com'),
  (1, 'Grace Hopper', 'grace.hopper@example.com'),
  (2, 'Alan Turing', 'alan.turing@example.com'),
  (3, 'Hedy Lamarr', 'hedy.lamarr@example.com'),
  (4, 'Emmy Noether', 'emmy.noether@example.com'),
  (5, 'Katherine Johnson', 'katherine.johnson@example.com'),
  (6, 'Edsger Dijkstra', 'edsger.dijkstra@example.com'),
  (7, 'Barbara Liskov', 'barbara.liskov@example.com'),
  (8, 'Donald Knuth', 'donald.knuth@example.com'),
  (9, 'Radia Perlman', 'radia.perlman@example.com');

-- The last digit of an order's number is its customer; the younger ones are still on their way.
WITH RECURSIVE
  counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < 299),
  items (i, item) AS (
    VALUES (0, 'kettle'), (1, 'lamp'), (2, 'chair'), (3, 'radio'), (4, 'teapot'), (5, 'clock')
  )
INSERT OR IGNORE INTO orders
SELECT
  1000 + n,
  name,
  item,
  printf('%d.90', 19 + 11 * (n % 17)),
  CASE WHEN n < 220 THEN 'delivered' WHEN n < 270 THEN 'shipped' ELSE 'placed' END,
  strftime('%Y-%m-%dT%H:%M:%SZ', '2026-09-01 08:00', (397 * n) || ' minutes')
FROM counted JOIN customers ON id = n % 10 JOIN items ON i = n % 6;
