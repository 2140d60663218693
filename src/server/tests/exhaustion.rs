//! What strangers can use up, and who is served all the same.

use tokio::net::TcpSocket;

use super::*;

/// What a client hears before it has sent a byte of its body.
async fn heard_at_once(door: &Door, headers: &str) -> u16 {
    let mut stream = door.connect().await;
    let head = format!("POST /webhook HTTP/1.1\r\nhost: x\r\ncontent-length: 20000000\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.expect("the door reads");
    let mut start = [0; 12];
    match stream.read_exact(&mut start).await {
        Ok(_) => String::from_utf8_lossy(&start)[9..].parse().expect("a status"),
        Err(_) => 0,
    }
}

#[tokio::test]
async fn what_cannot_be_a_delivery_is_refused_before_its_body_is_read() {
    let door = Door::with_defaults().await;
    let whole = forged();
    assert_eq!(heard_at_once(&door, "").await, 401);
    assert_eq!(heard_at_once(&door, &whole.replace("sha256=", "sha1=")).await, 401);
    assert_eq!(heard_at_once(&door, &whole.replace("x-github-event: push\r\n", "")).await, 400);
    assert_eq!(heard_at_once(&door, &whole.replace(GUID, "")).await, 400);
}

#[tokio::test]
async fn bodies_share_one_budget_and_small_ones_have_some_of_it_to_themselves() {
    const MOST: usize = 8 << 20;
    let door = Door::open(Limits { all_body_bytes: MOST, ..Limits::default() }).await;
    let gate = door.store.close_gate().await;
    // Its body is in memory as long as the store has not taken it.
    let large = PUSH.to_owned() + &" ".repeat(MOST / 4 * 3);
    let signature = sign(large.as_bytes(), &SECRET.into());
    let headers = [("x-github-event", "push"), ("x-github-delivery", GUID), ("x-hub-signature-256", &*signature)];
    let mut in_flight = door.connect().await;
    in_flight.write_all(&delivery(&headers, large.as_bytes())).await.expect("the door reads");
    door.store.reached.notified().await;

    let mut second = door.connect().await;
    // The door may answer and close before it has read everything.
    let _ = second.write_all(&delivery(&headers, large.as_bytes())).await;
    let (status, said) = answer(&mut second).await;
    assert!(status == 503 && said.to_lowercase().contains("retry-after: 10"), "{said}");
    assert_eq!(door.post(&headers, PUSH.as_bytes()).await, 401, "a small one is read and judged");

    drop(gate);
    assert_eq!(answer(&mut in_flight).await.0, 202);
    let again = PUSH.to_owned() + &" ".repeat(MOST / 4 * 3 - 1);
    assert_eq!(door.post_signed("push", "another", &again).await, 202, "what was held is given back");
}

/// A connection from an address of this machine that is not the usual one.
async fn stranger(door: &Door) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("all of 127/8 is this machine");
    socket.connect(door.address).await.expect("the door is open")
}

/// A door whose memory for bodies one address has filled with such as never end.
async fn filled() -> (Door, Vec<TcpStream>) {
    const MOST: usize = 8 << 20;
    const PART: usize = 256 << 10;
    let patient = Duration::from_mins(5);
    let door = Door::open(Limits { all_body_bytes: MOST, body_time: patient, ..Limits::default() }).await;
    let claims = forged();
    let head = format!("POST /webhook HTTP/1.1\r\nhost: x\r\ncontent-length: 20000000\r\n{claims}\r\n");
    let mut slow = Vec::new();
    for _ in 0..2 * MOST / PART {
        let mut stream = stranger(&door).await;
        stream.write_all(head.as_bytes()).await.expect("the door reads");
        // It may have no room for it already.
        let _ = stream.write_all(&vec![b' '; PART]).await;
        slow.push(stream);
    }
    let full = async {
        let wrong = sign(b"", &"no".into());
        let headers = [("x-github-event", "push"), ("x-github-delivery", GUID), ("x-hub-signature-256", &*wrong)];
        loop {
            let mut large = stranger(&door).await;
            let _ = large.write_all(&delivery(&headers, &vec![b' '; 2 * PART])).await;
            if answer(&mut large).await.0 == 503 {
                return;
            }
        }
    };
    tokio::time::timeout(patient, full).await.expect("it has no more for a large one");
    (door, slow)
}

#[tokio::test]
async fn who_fills_the_budget_with_slow_bodies_gives_way_to_a_delivery_from_elsewhere() {
    let (door, mut slow) = filled().await;
    assert_eq!(door.post_signed("push", GUID, PUSH).await, 202);
    let large = PUSH.to_owned() + &" ".repeat(2 << 20);
    assert_eq!(door.post_signed("push", "a-large-one", &large).await, 202);
    let (status, said) = answer(&mut slow[0]).await;
    assert!(status == 503 && said.to_lowercase().contains("retry-after"), "the oldest gave way: {said}");
    assert_eq!(door.stored().len(), 2);
}

/// As behind a load balancer: everything comes from one address.
#[tokio::test]
async fn slow_bodies_keep_no_delivery_of_the_same_address_out() {
    let (door, slow) = filled().await;
    let text = PUSH.to_owned() + &" ".repeat(100 << 10);
    // As many as would fill what is left, so that one at least needs another's place.
    let mut deliveries = Vec::new();
    let gate = door.store.close_gate().await;
    for number in 0..20 {
        let (guid, signature) = (format!("delivery-{number}"), sign(text.as_bytes(), &SECRET.into()));
        let headers = [("x-github-event", "push"), ("x-github-delivery", &*guid), ("x-hub-signature-256", &*signature)];
        let mut stream = stranger(&door).await;
        stream.write_all(&delivery(&headers, text.as_bytes())).await.expect("the door reads");
        tokio::select! {
            () = door.store.reached.notified() => {}
            refused = answer(&mut stream) => panic!("{refused:?}"),
        }
        deliveries.push(stream);
    }
    drop(gate);
    for stream in &mut deliveries {
        assert_eq!(answer(stream).await.0, 202);
    }
    drop(slow);
}

#[tokio::test]
async fn idle_connections_make_room_for_a_delivery() {
    let patient = Duration::from_mins(5);
    let door = Door::open(Limits { connections: 4, header_time: patient, ..Limits::default() }).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut stream = door.connect().await;
        stream.write_all(b"POST /webhook HTTP/1.1\r\nhost:").await.expect("the door is open");
        idle.push(stream);
    }
    assert_eq!(door.post_signed("push", GUID, PUSH).await, 202);
    assert_eq!(answer(&mut idle[0]).await.0, 0, "the oldest went");
}

#[tokio::test]
async fn a_head_without_end_is_not_kept() {
    let door = Door::open(Limits { header_time: Duration::from_mins(5), ..Limits::default() }).await;
    let mut stream = door.connect().await;
    stream.write_all(b"POST /webhook HTTP/1.1\r\nhost: x\r\n").await.expect("the door reads");
    let line = format!("x-long: {}\r\n", "x".repeat(8_000));
    for _ in 0..5 {
        // It hangs up on the way.
        let _ = stream.write_all(line.as_bytes()).await;
    }
    let (status, _) = answer(&mut stream).await;
    assert!(matches!(status, 0 | 431), "{status}");
}
